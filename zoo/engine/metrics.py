"""Figures about predictions, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """How well predictions fit labels.

    Attributes:
        metrics: ``accuracy`` and ``macro_f1`` in [0, 1], ``loss`` (mean cross-entropy in nats).
        per_class: For each class ``precision``, ``recall``, ``f1`` in [0, 1] and ``support``.
        confusion: Counts; rows are true classes, columns predicted ones.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    confusion: Sequence[Sequence[int]]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {
            "metrics": dict(self.metrics),
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "confusion": [list(row) for row in self.confusion],
        }


def headline(logits: Tensor, labels: NDArray[np.int64]) -> dict[str, float]:
    """``accuracy``, ``macro_f1`` over the classes that occur, and ``loss``.

    Args:
        logits: ``(N, classes)``.
        labels: ``(N,)``, class indices.
    """
    from sklearn.metrics import accuracy_score, f1_score

    predicted = logits.argmax(dim=1).numpy()
    loss = torch.nn.functional.cross_entropy(logits.double(), torch.from_numpy(labels))
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "loss": float(loss),
    }


def evaluation(logits: Tensor, labels: NDArray[np.int64], classes: Sequence[str]) -> Evaluation:
    """Everything that ``zoo evaluate`` prints; ``logits`` is ``(N, classes)``."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = logits.argmax(dim=1).numpy()
    every = list(range(len(classes)))
    columns = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    names = ("precision", "recall", "f1", "support")
    per_class = {
        classes[i]: {
            name: int(column[i]) if name == "support" else float(column[i])
            for name, column in zip(names, columns, strict=True)
        }
        for i in every
    }
    confusion = confusion_matrix(labels, predicted, labels=every)
    return Evaluation(headline(logits, labels), per_class, confusion.tolist())
