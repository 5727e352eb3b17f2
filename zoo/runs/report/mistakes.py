"""The samples that are worth a look: the most confident mistakes, or the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.contract.metric_names import THRESHOLD
from zoo.data.samples import TaskName
from zoo.runs.predictions import Judged

MOST = 12


@dataclass(frozen=True)
class Case:
    """A sample to look at.

    Attributes:
        index: Its place in the split.
        output: The output that was most wrong, and that is asked where the network looked.
        said: What the run says.
        true: What is so.
        confidence: The probability of what was said, in [0, 1]; ``None`` for numbers.
        wrong: Whether it is a mistake.
        against: Whether the run says that the output is not so; what led to that is what spoke
            against the output.
    """

    index: int
    output: int
    said: str
    true: str
    confidence: float | None
    wrong: bool
    against: bool = False


def cases(task: TaskName, judged: Judged, classes: Sequence[str]) -> list[Case]:
    """The :data:`MOST` worst samples, the worst first.

    Where no class is wrong, half as many of those that the run was least sure of. Samples whose
    outputs are not finite are left out.
    """
    if not judged.outputs.size:
        return []
    return {"single-label": _of_one, "multi-label": _of_several, "regression": _of_numbers}[task](
        judged, classes
    )


def _of_one(judged: Judged, classes: Sequence[str]) -> list[Case]:
    best, sure = judged.outputs.argmax(axis=1), judged.outputs.max(axis=1)
    wrong = best != judged.labels
    return [
        Case(
            index=i,
            output=int(best[i]),
            said=classes[int(best[i])],
            true=classes[int(judged.labels[i])],
            confidence=float(sure[i]),
            wrong=bool(wrong[i]),
        )
        for i in _worst(np.where(wrong, sure, np.nan), -sure)
    ]


def _of_several(judged: Judged, classes: Sequence[str]) -> list[Case]:
    truth, chances = judged.labels > 0, judged.outputs
    wrong = (chances >= THRESHOLD) != truth  # (N, classes)
    sure = np.maximum(chances, 1 - chances)
    worst = np.where(wrong, sure, -1).argmax(axis=1)  # (N,)
    least = sure.argmin(axis=1)
    found = []
    for i in _worst(np.where(wrong.any(axis=1), _at(sure, worst), np.nan), -_at(sure, least)):
        mistaken = bool(wrong[i].any())
        place = int(worst[i] if mistaken else least[i])
        yes, name = bool(chances[i, place] >= THRESHOLD), classes[place]
        own = [classes[int(k)] for k in np.flatnonzero(truth[i])]
        found.append(
            Case(
                index=i,
                output=place,
                said=name if yes else f"not {name}",
                true=", ".join(own) or "none of the classes",
                confidence=float(sure[i, place]),
                wrong=mistaken,
                against=not yes,
            )
        )
    return found


def _of_numbers(judged: Judged, classes: Sequence[str]) -> list[Case]:
    truth = judged.labels.astype(np.float64)
    spread = np.maximum(truth.std(axis=0), np.finfo(np.float64).tiny)
    errors = np.abs(judged.outputs - truth) / spread  # (N, targets)
    worst = np.where(np.isfinite(errors), errors, -1).argmax(axis=1)
    return [
        Case(
            index=i,
            output=(place := int(worst[i])),
            said=f"{classes[place]} {judged.outputs[i, place]:.4g}",
            true=f"{truth[i, place]:.4g}",
            confidence=None,
            wrong=True,
        )
        for i in _worst(_at(errors, worst), np.full(len(errors), np.nan))
    ]


def _at(values: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row the value at its place, ``(N,)``."""
    taken: NDArray[np.float64] = np.take_along_axis(values, places[:, None], axis=1)[:, 0]
    return taken


def _worst(mistakes: NDArray[np.float64], doubts: NDArray[np.float64]) -> list[int]:
    """Places of the largest ``mistakes``; of the largest ``doubts`` where there is no mistake."""
    chosen, count = mistakes, MOST
    if not np.isfinite(mistakes).any():
        chosen, count = doubts, MOST // 2
    order = np.argsort(-np.where(np.isfinite(chosen), chosen, -np.inf), kind="stable")
    return [int(i) for i in order[:count] if np.isfinite(chosen[i])]
