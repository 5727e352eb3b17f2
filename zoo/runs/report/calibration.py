"""Calibration: how well predicted probabilities match accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray
from zoo.tasks.task import Task

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same probability.

    Attributes:
        low: From which probability on.
        high: To which; the last bin has 1 too.
        count: Number of predictions.
        predicted: Their mean probability.
        accuracy: The share of them that were correct.
    """

    low: float
    high: float
    count: int
    predicted: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram in numbers.

    Attributes:
        bins: :data:`BINS` of equal width, from 0 to 1; those that hold nothing have 0 for all.
        error: The expected calibration error, in [0, 1]: the mean, over all predictions, of the
            distance between probability and accuracy in their bin (Naeini et al. 2015; Guo et al. 2017,
            arXiv:1706.04599, there with 15 bins).
        count: Number of predictions.
    """

    bins: Sequence[Bin]
    error: float
    count: int


def calibration(task: Task, outputs: NDArray[np.float64], labels: LabelArray) -> Calibration | None:
    """Of the probability of the class that was named; of every class where several may be.

    Args:
        task: What the outputs are.
        outputs: ``(N, classes)``.
        labels: As the task has them.

    Returns:
        ``None`` for numbers, and where outputs are not finite.
    """
    if not outputs.size or not np.isfinite(outputs).all():
        return None
    found = task.confidences(outputs, labels)
    return _binned(*found) if found else None


def _binned(said: NDArray[np.float64], true: NDArray[np.bool_]) -> Calibration:
    """Both ``(M,)``."""
    places = np.minimum((said * BINS).astype(int), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    means = np.bincount(places, weights=said, minlength=BINS) / np.maximum(counts, 1)
    shares = np.bincount(places, weights=true, minlength=BINS) / np.maximum(counts, 1)
    error = float((counts * np.abs(means - shares)).sum() / len(said))
    bins = [
        Bin(i / BINS, (i + 1) / BINS, int(counts[i]), float(means[i]), float(shares[i]))
        for i in range(BINS)
    ]
    return Calibration(bins, error, len(said))
