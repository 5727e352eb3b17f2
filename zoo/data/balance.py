"""Class-balanced sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UsageError


def balanced_probabilities(labels: NDArray[Any] | None) -> NDArray[np.float64]:
    """The probability of drawing each sample when classes are equally likely: ``(N,)``, sums to 1.

    A draw picks one of the classes that occur, uniformly, then one of its samples, uniformly.
    A multi-label sample can be drawn for each of its classes; "no label" counts as one more class.

    Args:
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1.

    Raises:
        UsageError: The labels are not classes.
    """
    if labels is None or (labels.ndim > 1 and not np.isin(labels, (0, 1)).all()):
        raise UsageError(
            "--balanced needs classes, and this data has none",
            hint="Remove --balanced.",
        )
    if labels.ndim == 1:
        counts = np.bincount(labels)
        equal: NDArray[np.float64] = 1 / (np.count_nonzero(counts) * counts[labels])
        return equal
    unlabelled = labels.sum(axis=1, keepdims=True) == 0
    member = np.concatenate([labels, unlabelled], axis=1).astype(np.float64)  # (N, C + 1)
    members = member.sum(axis=0)
    share = np.divide(1, members, out=np.zeros_like(members), where=members > 0)
    probabilities: NDArray[np.float64] = member @ share / np.count_nonzero(members)
    return probabilities


def repetitions(drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position, how many times its value occurs before it."""
    order = np.argsort(drawn, kind="stable")
    ordered = drawn[order]
    result = np.empty_like(drawn)
    result[order] = np.arange(len(drawn)) - np.searchsorted(ordered, ordered)
    return result
