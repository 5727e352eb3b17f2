"""The samples that are worth a look: the most confident mistakes, or the largest errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 12
"""Samples that are shown; half as many where none is a mistake."""


@dataclass(frozen=True)
class Case:
    """A sample to look at.

    Attributes:
        index: Its place in the split.
        output: The output that was most wrong, and that is asked where the network looked.
        predicted: The prediction.
        true: The label.
        confidence: The probability of what was said, in [0, 1]; ``None`` for numbers.
        wrong: Whether it is a mistake.
        against: Whether the run says that the output is not so; what led to that is what spoke
            against the output.
    """

    index: int
    output: int
    predicted: str
    true: str
    confidence: float | None
    wrong: bool
    against: bool = False


def at(values: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row the value at its place, ``(N,)``."""
    taken: NDArray[np.float64] = np.take_along_axis(values, places[:, None], axis=1)[:, 0]
    return taken


def worst(mistakes: NDArray[np.float64], doubts: NDArray[np.float64]) -> list[int]:
    """Places of the largest ``mistakes``; of the largest ``doubts`` where there is no mistake."""
    chosen, count = mistakes, MOST
    if not np.isfinite(mistakes).any():
        chosen, count = doubts, MOST // 2
    order = np.argsort(-np.where(np.isfinite(chosen), chosen, -np.inf), kind="stable")
    return [int(i) for i in order[:count] if np.isfinite(chosen[i])]
