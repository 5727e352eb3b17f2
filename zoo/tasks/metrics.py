"""Figures about predictions, by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


MATRIX = 200
"""Classes up to which JSON has the whole confusion matrix."""


@dataclass(frozen=True)
class Evaluation:
    """How well predictions fit labels.

    Attributes:
        metrics: The task's figures, as :meth:`zoo.tasks.task.Task.headline` has them.
        per_class: For each class ``precision``, ``recall``, ``f1`` in [0, 1] and ``support``;
            multi-label ``average_precision`` too. For each column of numbers ``mae``, ``rmse``
            and ``r2``.
        samples: How many there are.
        left_out: How many more there were, which the run was trained on.
        trained_on: How many of ``samples`` are in the training data too.
        notes: What of the samples was left out or not read to the end, a fact each.
        confusion: Counts; rows are true classes, columns predicted ones. Single-label alone.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    samples: int
    confusion: Sequence[Sequence[int]] | None = None
    left_out: int = 0
    trained_on: int = 0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data; without ``confusion`` where there is none.

        With more than :data:`MATRIX` classes ``confusions`` lists what was taken for what: a
        matrix of 3,000 classes, nearly all of it 0, would be 50 MB.
        """
        document: dict[str, Any] = {
            "metrics": dict(self.metrics),
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "samples": self.samples,
            "left_out": self.left_out,
            "trained_on": self.trained_on,
            "notes": list(self.notes),
        }
        if self.confusion is None:
            return document
        if len(self.confusion) > MATRIX:
            keys = ("true", "predicted", "samples")
            listed = [dict(zip(keys, pair, strict=True)) for pair in self.confusions()]
            return {**document, "confusions": listed}
        return {**document, "confusion": [list(row) for row in self.confusion]}

    def confusions(self) -> list[tuple[str, str, int]]:
        """True class, class predicted in its place, and how often; the most frequent first."""
        counts = np.array(self.confusion if self.confusion is not None else [])
        if not counts.size:
            return []
        np.fill_diagonal(counts, 0)
        names, order = list(self.per_class), np.argsort(-counts, axis=None, kind="stable")
        pairs = zip(*np.unravel_index(order[: np.count_nonzero(counts)], counts.shape), strict=True)
        return [(names[i], names[j], int(counts[i, j])) for i, j in pairs]


# -- one class a sample ------------------------------------------------------------------------


def single_label_figures(
    predicted: NDArray[np.int64], labels: NDArray[np.int64]
) -> dict[str, float]:
    """``accuracy``, and ``macro_f1`` over the classes that occur; both arrays ``(N,)``."""
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def balanced_accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean recall of the classes that occur; both arrays ``(N,)``."""
    from sklearn.metrics import recall_score

    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro"))


def confusion_of(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]
) -> list[list[int]]:
    """Counts; rows are true classes, columns predicted ones; both arrays ``(N,)``."""
    from sklearn.metrics import confusion_matrix

    counts: list[list[int]] = confusion_matrix(
        labels, predicted, labels=list(range(len(classes)))
    ).tolist()
    return counts


# -- several classes a sample ------------------------------------------------------------------


def multi_label_figures(
    probabilities: Floats, predicted: NDArray[np.bool_], labels: NDArray[Any]
) -> dict[str, float]:
    """``map``, ``macro_f1``, ``micro_f1``, and ``accuracy``; all arrays ``(N, classes)``.

    ``map`` is the mean over the classes that occur of the average precision (0 if none occurs),
    ``macro_f1`` the mean over those that occur or are predicted. ``accuracy`` is the share of
    samples all of whose classes are right.
    """
    from sklearn.metrics import f1_score

    truth = labels > 0
    precisions = average_precisions(probabilities, truth)
    seen = truth.any(axis=0) | predicted.any(axis=0)
    f1 = f1_score(_wider(truth), _wider(predicted), average=None, zero_division=0)[:-1]
    return {
        "map": float(np.mean(list(precisions.values()))) if precisions else 0.0,
        "macro_f1": float(f1[seen].mean()) if seen.any() else 0.0,
        "micro_f1": float(f1_score(truth.ravel(), predicted.ravel(), zero_division=0)),
        "accuracy": float((truth == predicted).all(axis=1).mean()),
    }


def average_precisions(probabilities: Floats, truth: NDArray[np.bool_]) -> dict[int, float]:
    """The average precision of each class that occurs; both arrays ``(N, classes)``."""
    from sklearn.metrics import average_precision_score

    return {
        int(i): float(average_precision_score(truth[:, i], probabilities[:, i]))
        for i in np.flatnonzero(truth.any(axis=0))
    }


def class_rows(
    predicted: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """``precision``, ``recall``, ``f1``, ``support`` of each class.

    Args:
        predicted: Class indices, ``(N,)``, or truth values, ``(N, classes)``.
        labels: Likewise.
        classes: Class names.
    """
    from sklearn.metrics import precision_recall_fscore_support

    if labels.ndim > 1:
        predicted, labels = _wider(predicted), _wider(labels > 0)
    every = list(range(len(classes)))
    columns = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        classes[i]: {
            name: int(column[i]) if name == "support" else float(column[i])
            for name, column in zip(names, columns, strict=True)
        }
        for i in every
    }


def _wider(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With a class that never occurs: scikit-learn takes a single column for two classes."""
    return np.hstack([flags, np.zeros((len(flags), 1), dtype=np.bool_)])


# -- numbers -----------------------------------------------------------------------------------


def regression_figures(predicted: Floats, labels: Floats) -> dict[str, float]:
    """``mae``, ``rmse`` and ``r2``, each the mean over the columns; both ``(N, targets)``."""
    rows = number_rows(predicted, labels, [str(i) for i in range(labels.shape[1])])
    return {
        key: float(np.mean([row[key] for row in rows.values()])) for key in ("mae", "rmse", "r2")
    }


def number_rows(
    predicted: Floats, labels: Floats, columns: Sequence[str]
) -> dict[str, dict[str, float]]:
    """``mae``, ``rmse`` and ``r2`` of each column; both arrays are ``(N, targets)``.

    ``r2`` is 0 where all true values are the same, unless all predictions are exact: then it is 1.
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    rows = {}
    for place, name in enumerate(columns):
        truth, given = labels[:, place], predicted[:, place]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a single sample, for which it then gives NaN
            r2 = float(r2_score(truth, given))
        rows[name] = {
            "mae": float(mean_absolute_error(truth, given)),
            "rmse": float(root_mean_squared_error(truth, given)),
            "r2": float((truth == given).all()) if np.isnan(r2) else r2,
        }
    return rows
