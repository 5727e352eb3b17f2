"""Evaluation of predictions: overall metrics, metrics per class, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.tasks.counts import by_class, confusion
from zoo.tasks.measures import Floats, mae, r2, rmse

MATRIX = 200
"""The most classes for which JSON has the full confusion matrix."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of predictions.

    Attributes:
        metrics: The metrics of :meth:`zoo.tasks.Task.compute_metrics`.
        per_class: For each class ``precision``, ``recall``, ``f1`` in [0, 1] and ``support``, and
            for multi-label ``average_precision``. For each target ``mae``, ``rmse`` and ``r2``.
        samples: The number of samples.
        left_out: How many samples were dropped because the run was trained on them.
        trained_on: How many of ``samples`` are in the training data too.
        notes: What was left out or truncated, one note each.
        interval: The 95 % confidence interval of the selection metric, with the keys of
            :class:`zoo.tasks.optimism.Interval`; ``None`` if there are too few samples or groups.
        confusion: Counts; rows are true classes, columns predicted ones. Single-label only.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    samples: int
    confusion: Sequence[Sequence[int]] | None = None
    left_out: int = 0
    trained_on: int = 0
    notes: tuple[str, ...] = ()
    interval: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data, without ``confusion`` if there is none.

        With more than :data:`MATRIX` classes, ``confusions`` lists the nonzero entries instead: a
        matrix of 3,000 classes would be 50 MB.
        """
        document: dict[str, Any] = {
            "metrics": dict(self.metrics),
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "samples": self.samples,
            "left_out": self.left_out,
            "trained_on": self.trained_on,
            "notes": list(self.notes),
            "interval": None if self.interval is None else dict(self.interval),
        }
        if self.confusion is None:
            return document
        if len(self.confusion) > MATRIX:
            keys = ("true", "predicted", "samples")
            listed = [dict(zip(keys, pair, strict=True)) for pair in self.confusions()]
            return {**document, "confusions": listed}
        return {**document, "confusion": [list(row) for row in self.confusion]}

    def confusions(self) -> list[tuple[str, str, int]]:
        """True class, predicted class and count of each confusion; the most frequent first."""
        counts = np.array(self.confusion if self.confusion is not None else [])
        if not counts.size:
            return []
        np.fill_diagonal(counts, 0)
        names, order = list(self.per_class), np.argsort(-counts, axis=None, kind="stable")
        pairs = zip(*np.unravel_index(order[: np.count_nonzero(counts)], counts.shape), strict=True)
        return [(names[i], names[j], int(counts[i, j])) for i, j in pairs]


def confusion_of(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]
) -> list[list[int]]:
    """Counts; rows are true classes, columns predicted ones; both arrays ``(N,)``."""
    counts: list[list[int]] = confusion(predicted, labels, len(classes)).tolist()
    return counts


def class_rows(
    predicted: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """``precision``, ``recall``, ``f1`` and ``support`` of each class.

    Args:
        predicted: Class indices, ``(N,)``, or booleans, ``(N, classes)``.
        labels: The same for the labels.
        classes: Class names.
    """
    counts = by_class(predicted, labels > 0 if labels.ndim > 1 else labels, len(classes))
    precision, recall, f1 = counts.precision, counts.recall, counts.f1
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(counts.true[i]),
        }
        for i, name in enumerate(classes)
    }


def number_rows(
    predicted: Floats, labels: Floats, columns: Sequence[str]
) -> dict[str, dict[str, float]]:
    """``mae``, ``rmse`` and ``r2`` of each target; both arrays are ``(N, targets)``."""
    measures = {"mae": mae, "rmse": rmse, "r2": r2}
    return {
        name: {key: measure(labels[:, i], predicted[:, i]) for key, measure in measures.items()}
        for i, name in enumerate(columns)
    }
