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
        low: Lower bound of the probability, inclusive.
        high: Upper bound, exclusive except in the last bin.
        count: Number of predictions.
        predicted: Their mean probability.
        accuracy: The proportion of them that is correct.
    """

    low: float
    high: float
    count: int
    predicted: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The data of a reliability diagram.

    Attributes:
        bins: :data:`BINS` bins of equal width, from 0 to 1; empty bins have all values 0.
        error: The expected calibration error, in [0, 1]: the difference between probability and
            accuracy in each bin, weighted by the number of predictions (Naeini et al. 2015; Guo et
            al. 2017, arXiv:1706.04599, who use 15 bins).
        count: Number of predictions.
    """

    bins: Sequence[Bin]
    error: float
    count: int


def calibration(task: Task, outputs: NDArray[np.float64], labels: LabelArray) -> Calibration | None:
    """Calibration of the predicted class's probability; for multi-label, of every class's.

    Args:
        task: The run's task.
        outputs: Probabilities, ``(N, classes)``.
        labels: Labels in the task's format.

    Returns:
        ``None`` for regression, or if outputs are not finite.
    """
    if not outputs.size or not np.isfinite(outputs).all():
        return None
    found = task.confidences(outputs, labels)
    return _binned(*found) if found else None


def _binned(probabilities: NDArray[np.float64], true: NDArray[np.bool_]) -> Calibration:
    """Bin probabilities and correctness, both ``(M,)``."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    means = np.bincount(places, weights=probabilities, minlength=BINS) / np.maximum(counts, 1)
    shares = np.bincount(places, weights=true, minlength=BINS) / np.maximum(counts, 1)
    error = float((counts * np.abs(means - shares)).sum() / len(probabilities))
    bins = [
        Bin(i / BINS, (i + 1) / BINS, int(counts[i]), float(means[i]), float(shares[i]))
        for i in range(BINS)
    ]
    return Calibration(bins, error, len(probabilities))
