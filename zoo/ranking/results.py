"""Results of a ranking."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from zoo.data.memory.source import is_in_memory
from zoo.ranking.candidates import LeftOut
from zoo.tasks import task_named

_LONG = 40  # characters of a name


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A backbone with its scores; higher is better.

    Attributes:
        name: Name to type.
        backbone: Canonical name.
        weights: Tag of the weights; ``none`` for random initialisation.
        probe: Score of a linear model on the features, on held-out samples: accuracy, mAP or R².
            The ranking is sorted by it.
        logme: Log evidence of a linear model on the features, per sample.
        params: Number of parameters; 0 if unknown.
        feature_dim: Width of the features.
        seconds: Seconds per 1,000 samples on this machine; ``None`` if unknown.
        license: License of the weights, else of the code.
        draws: ``probe`` on bootstrap samples, the same for all backbones.
    """

    name: str
    backbone: str
    weights: str
    probe: float
    logme: float
    params: int
    feature_dim: int
    seconds: float | None
    license: str
    draws: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of ``probe``; ``None`` if it is unknown."""
        known = [draw for draw in self.draws if math.isfinite(draw)]
        return quantiles(known) if known else None

    def ties_with(self, better: Ranked) -> bool:
        """Whether ``better`` is not significantly better, at 95 %, on the same bootstrap samples."""
        gains = [b - own for own, b in zip(self.draws, better.draws, strict=False)]
        known = [gain for gain in gains if math.isfinite(gain)]
        return bool(known) and quantiles(known)[0] <= 0

    def to_json(self) -> dict[str, Any]:
        """The fields but for the draws, and the interval."""
        fields = {name: value for name, value in vars(self).items() if name != "draws"}
        return {**fields, "interval": self.interval and list(self.interval)}

    @property
    def title(self) -> str:
        """The name; of a long path, the last two parts."""
        scheme, colon, path = self.name.partition(":")
        if not colon or len(self.name) <= _LONG:
            return self.name
        return f"{scheme}:…/{'/'.join(path.rstrip('/').split('/')[-2:])}"


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the middle 95 %."""
    ordered, most = sorted(values), len(values) - 1
    return ordered[round(0.025 * most)], ordered[round(0.975 * most)]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Backbones sorted by score, and those that are not ranked.

    Attributes:
        data: As given by the user.
        modality: Modality of the data.
        task: Task of the labels.
        classes: Names of classes or regression targets.
        samples: Number of samples that the scores are from.
        ranked: The best first.
        left_out: Backbones that were not ranked, with the reasons.
        not_reached: Names that the time limit left out, in their order.
        seconds: Duration.
        options: Options of the next fine-tune, beside its backbone and data.
    """

    data: str
    modality: str
    task: str
    classes: tuple[str, ...]
    samples: int
    ranked: tuple[Ranked, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    not_reached: tuple[str, ...] = ()
    seconds: float = 0.0
    options: tuple[str, ...] = ()

    @property
    def best(self) -> Ranked:
        """The best backbone."""
        return self.ranked[0]

    @property
    def metric(self) -> str:
        """Metric of the probe: ``accuracy``, ``mAP`` or ``R²``."""
        return task_named(self.task).probe.metric

    @property
    def margin(self) -> float | None:
        """Standard error of the difference to the best, assuming independent errors; classification
        only."""
        if not self.ranked:
            return None
        return task_named(self.task).probe.margin(self.best.probe, self.samples)

    def next_command(self) -> str:
        """The command that fine-tunes the best backbone; Python code for data in memory."""
        if is_in_memory(self.data):
            return f"zoo.finetune({self.best.name!r}, data)"
        random = ["--weights", "none"] if self.best.weights == "none" else []
        words = ["zoo", "finetune", self.best.name, "--data", self.data, *random, *self.options]
        return shlex.join(words)

    def with_row(self, row: Ranked) -> Ranking:
        """A copy with one more backbone, in its place."""
        rows = sorted((*self.ranked, row), key=lambda one: (-one.probe, -one.logme, one.params))
        return replace(self, ranked=tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """As JSON data; ``options`` are part of ``next``."""
        return {
            "data": self.data,
            "modality": self.modality,
            "task": self.task,
            "classes": list(self.classes),
            "samples": self.samples,
            "order": "probe",
            "metric": self.metric,
            "ranked": [
                {**row.to_json(), "tied": number > 0 and row.ties_with(self.best)}
                for number, row in enumerate(self.ranked)
            ],
            "left_out": [vars(one) for one in self.left_out],
            "not_reached": list(self.not_reached),
            "seconds": round(self.seconds, 3),
            "next": self.next_command(),
        }


def left_out_lines(ranking: Ranking, shown: int = 6) -> list[str]:
    """Lines on what was left out: by reason, the number and some names."""
    reasons: dict[str, list[str]] = {}
    for one in ranking.left_out:
        reasons.setdefault(one.reason, []).append(one.name)
    return [
        f"{len(names)} left out, {reason}: {', '.join(names[:shown])}"
        + (", …" if len(names) > shown else "")
        for reason, names in reasons.items()
    ]
