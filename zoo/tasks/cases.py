"""The worst samples: the most confident mistakes, or the largest errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 12
"""Samples to show; half as many if none is a mistake."""


@dataclass(frozen=True)
class Case:
    """A sample to look at.

    Attributes:
        index: Its index in the split.
        output: The output with the largest error, to be attributed.
        predicted: The prediction.
        true: The label.
        confidence: The probability of the prediction, in [0, 1]; ``None`` for regression.
        wrong: Whether it is a mistake.
        against: Whether the prediction is "not this class", so that evidence against the output
            is to be attributed.
        decision: The decision on one of several outputs, in words, if the prediction consists of
            several; ``confidence`` is then the probability of that output.
        output_name: The name of that output.
    """

    index: int
    output: int
    predicted: str
    true: str
    confidence: float | None
    wrong: bool
    against: bool = False
    decision: str = ""
    output_name: str = ""


def at(values: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value at one column of each row, ``(N,)``."""
    taken: NDArray[np.float64] = np.take_along_axis(values, places[:, None], axis=1)[:, 0]
    return taken


def worst(mistakes: NDArray[np.float64], doubts: NDArray[np.float64]) -> list[int]:
    """Indices of the largest ``mistakes``, or of the largest ``doubts`` if there are no mistakes."""
    chosen, count = mistakes, MOST
    if not np.isfinite(mistakes).any():
        chosen, count = doubts, MOST // 2
    order = np.argsort(-np.where(np.isfinite(chosen), chosen, -np.inf), kind="stable")
    return [int(i) for i in order[:count] if np.isfinite(chosen[i])]
