"""Draws in which each class comes equally often, however rare its samples are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UsageError


def balanced_probabilities(labels: NDArray[Any] | None) -> NDArray[np.float64]:
    """How likely each sample is drawn where each class is equally likely: ``(N,)``, sums to 1.

    A draw is a class that occurs, at even chances, and then one of its samples, at even chances.
    With several labels a sample may be drawn for each of its classes, and to have no label counts
    as one more class.

    Args:
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1.

    Raises:
        UsageError: The labels are other numbers.
    """
    if labels is None or (labels.ndim > 1 and not np.isin(labels, (0, 1)).all()):
        raise UsageError(
            "--balanced draws each class equally often, and these data have no classes",
            hint="Leave --balanced out.",
        )
    if labels.ndim == 1:
        counts = np.bincount(labels)
        equal: NDArray[np.float64] = 1 / (np.count_nonzero(counts) * counts[labels])
        return equal
    unlabelled = labels.sum(axis=1, keepdims=True) == 0
    member = np.concatenate([labels, unlabelled], axis=1).astype(np.float64)  # (N, C + 1)
    members = member.sum(axis=0)
    share = np.divide(1, members, out=np.zeros_like(members), where=members > 0)
    chances: NDArray[np.float64] = member @ share / np.count_nonzero(members)
    return chances


def repetitions(drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the value at each position has come before it."""
    order = np.argsort(drawn, kind="stable")
    ordered = drawn[order]
    result = np.empty_like(drawn)
    result[order] = np.arange(len(drawn)) - np.searchsorted(ordered, ordered)
    return result
