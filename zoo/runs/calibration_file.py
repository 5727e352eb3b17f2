"""``calibration.json`` of a run: what was fitted on its held-out outputs after the best epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RunError
from zoo.system import files
from zoo.system.json_shape import NONE, shape_flaw
from zoo.system.small_files import read_small

CALIBRATION = "calibration.json"

_KEPT = 1000
"""Scores that are kept of more samples: a promise is then off by less than 0.1 %."""


@dataclass(frozen=True)
class Scores:
    """Order statistics of a score on the held-out samples; higher is less typical.

    Attributes:
        samples: Number of samples.
        values: Of up to 1,000 samples all scores, sorted; of more, 1,000 at even ranks.
    """

    samples: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> Self:
        """The scores of all samples, ``(N,)``."""
        values = np.sort(scores)[_ranks(len(scores), min(len(scores), _KEPT)) - 1]
        return cls(len(scores), tuple(values.tolist()))

    def quantile(self, share: float) -> float | None:
        """The score that a new sample does not exceed with a probability of at least ``share``.

        The sample of rank ``ceil((N + 1) * share)``, as in split conformal prediction (Vovk et al.
        2005; Angelopoulos and Bates 2021, arXiv:2107.07511). ``None`` if there are too few samples.
        """
        rank = math.ceil((self.samples + 1) * share - 1e-9)  # 10 * 0.9 is above 9
        if rank > self.samples:
            return None
        place = int(np.searchsorted(_ranks(self.samples, len(self.values)), max(rank, 1)))
        return self.values[place]

    def share_below(self, value: float) -> float:
        """The share of the samples with a lower score than ``value``; 1 for NaN."""
        return float(np.searchsorted(self.values, value) / len(self.values))


def _ranks(samples: int, kept: int) -> NDArray[np.int64]:
    """The ranks, from 1, of the kept scores: the last one is ``samples``."""
    steps = np.arange(1, kept + 1, dtype=np.int64)
    return -(-steps * samples // max(kept, 1))


@dataclass(frozen=True, kw_only=True)
class FittedCalibration:
    """What was fitted on held-out outputs.

    Attributes:
        samples: Number of held-out samples.
        temperature: The logits divided by it have the lowest loss; 1 where that does not help.
        error_before: Expected calibration error, in [0, 1]; ``None`` if it cannot be computed.
        error_after: With the temperature: each half of the samples with that of the other half.
        loss_before: The mean of the task's usual loss.
        loss_after: With the temperature, by halves as well.
        thresholds: By class, the probability with the highest F1, after the temperature; ``None``
            for other tasks.
        conformal: Of the true class, one minus its probability before the temperature, so that the
            samples are used once; or of each regression target, the absolute error. Empty for other
            tasks.
        distance: From the training samples, of held-out ones; ``None`` if it is unknown.
    """

    samples: int
    temperature: float
    error_before: float | None
    error_after: float | None
    loss_before: float | None
    loss_after: float | None
    thresholds: Mapping[str, float] | None
    conformal: tuple[Scores, ...]
    distance: Scores | None

    def summary(self) -> dict[str, Any]:
        """Its entry in ``run.json``: all but the thresholds and the scores."""
        return {key: value for key, value in asdict(self).items() if key in _SUMMARY}

    def to_json(self) -> dict[str, Any]:
        """The contents of ``calibration.json``."""
        return {"format": 1, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any, classes: Sequence[str]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: It is not valid, or has other classes.
        """
        if flaw := shape_flaw(data, _KINDS):
            raise ValueError(flaw)
        limits = data["thresholds"]
        if limits is not None and (set(limits) != set(classes) or not _numbers(limits.values())):
            raise ValueError("its thresholds are not one number for each class")
        if not (math.isfinite(data["temperature"]) and data["temperature"] > 0):
            raise ValueError(f"its temperature is {data['temperature']}")
        given = {key: value for key, value in data.items() if key in _KINDS and key != "format"}
        conformal = tuple(_scores(each, "conformal") for each in given["conformal"])
        distance = given["distance"] and _scores(given["distance"], "distance")
        return cls(**{**given, "conformal": conformal, "distance": distance})


_SUMMARY = (
    *("samples", "temperature", "error_before", "error_after", "loss_before", "loss_after"),
)
_NUMBER = (int, float)
_KINDS = {
    "format": (int,),
    "samples": (int,),
    "temperature": _NUMBER,
    **dict.fromkeys(_SUMMARY[2:], (*_NUMBER, NONE)),
    **dict.fromkeys(("thresholds", "distance"), (dict, NONE)),
    "conformal": (list,),
}


def _numbers(values: Any) -> bool:
    return all(type(value) in _NUMBER and math.isfinite(value) for value in values)


def _scores(data: Any, key: str) -> Scores:
    flaw = shape_flaw(data, {"samples": (int,), "values": (list,)})
    if flaw or not _numbers(data["values"]) or len(data["values"]) > max(data["samples"], 0):
        raise ValueError(f"its {key} scores are not valid")
    if not data["values"]:
        raise ValueError(f"its {key} scores are empty")
    return Scores(data["samples"], tuple(map(float, data["values"])))


def calibration_in_words(summary: Mapping[str, Any] | None) -> str:
    """The temperature and what it does to the calibration error; empty if it is 1."""
    if not summary or summary["temperature"] == 1:
        return ""
    before, after = summary["error_before"], summary["error_after"]
    errors = f": calibration error {before:.3f} before, {after:.3f} after" if before else ""
    return f"probabilities are calibrated by a temperature of {summary['temperature']:.3g}{errors}"


def write_calibration(path: Path, found: FittedCalibration) -> None:
    """Write the file; ``OSError`` if that fails."""
    files.write_text(path, json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False) + "\n")


def read_calibration(path: Path, classes: Sequence[str]) -> FittedCalibration | None:
    """Read the file; ``None`` if there is none.

    Raises:
        RunError: It is damaged.
    """
    try:
        return FittedCalibration.from_json(json.loads(read_small(path)), classes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: {getattr(error, 'strerror', None) or error}",
            hint="Restore it from a copy of the run, or remove it to predict without it.",
        ) from error
