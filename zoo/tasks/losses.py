"""Per-sample losses with class weights, focal loss and label smoothing.

A loss returns ``(B,)`` and leaves the mean to the training loop, so that samples weigh the same
however a batch is divided into micro-batches or among processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import UsageError

Formula = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""From logits ``(B, outputs)``, targets and weights ``(outputs,)`` to losses ``(B,)``."""

MAX_POSITIVE_WEIGHT = 100.0
"""The largest weight of positive samples of a label. Beyond it, single positive samples, mislabelled
or not, would dominate."""


class Loss(nn.Module):
    """From logits ``(B, outputs)`` and targets to per-sample losses: ``(B,)``, float32.

    A module, so that its weights move to a device with it.

    Args:
        formula: The loss function.
        weights: ``(outputs,)``, float32; ``None`` if all classes weigh the same.
    """

    weights: Tensor | None

    def __init__(self, formula: Formula, weights: Tensor | None = None) -> None:
        super().__init__()
        self._formula = formula
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Targets are as :meth:`zoo.tasks.Task.loss` says; logits of lower precision become float32."""
        return self._formula(logits.float(), targets, self.weights)


# -- weights -----------------------------------------------------------------------------------


def balanced_weights(labels: NDArray[Any], outputs: int | None = None) -> Tensor:
    """``N / (K n_c)`` for a class with ``n_c`` of ``N`` samples where ``K`` classes occur.

    King and Zeng 2001, "Logistic regression in rare events data", and scikit-learn's
    ``balanced``. The mean over the samples is 1, so the learning rate keeps its meaning. A class
    without samples gets 1.

    Args:
        labels: ``(N,)`` class indices.
        outputs: Number of classes; by default from the labels.
    """
    counts = np.bincount(labels, minlength=outputs or 0)
    occurring = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (occurring * np.maximum(counts, 1)), 1.0)
    return torch.from_numpy(weights).float()


def positive_weights(labels: NDArray[Any]) -> Tensor:
    """The ratio of negative to positive samples of each class, to balance the two.

    As recommended for ``pos_weight`` of ``BCEWithLogitsLoss``; clipped to between 1 /
    :data:`MAX_POSITIVE_WEIGHT` and :data:`MAX_POSITIVE_WEIGHT`, so that classes with no or only
    positive samples stay finite.

    Args:
        labels: ``(N, C)`` of 0 and 1.
    """
    positive = labels.sum(axis=0, dtype=np.float64)
    ratio = (len(labels) - positive) / np.maximum(positive, 1)
    bounded = np.clip(ratio, 1 / MAX_POSITIVE_WEIGHT, MAX_POSITIVE_WEIGHT)
    return torch.from_numpy(bounded).float()


# -- formulas ----------------------------------------------------------------------------------


def cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor | None, *, focal: float, smoothing: float
) -> Tensor:
    """``-sum_c w_c q_c (1 - p_c)^focal log p_c``, where ``q`` is the smoothed target: ``(B,)``."""
    if not focal:
        return functional.cross_entropy(
            logits, targets, weight=weights, label_smoothing=smoothing, reduction="none"
        )
    classes = logits.shape[1]
    shares = functional.one_hot(targets, classes) if targets.ndim == 1 else targets  # (B, C)
    shares = shares * (1 - smoothing) + smoothing / classes
    log_p = logits.log_softmax(dim=1)
    # At 0 the power would have an infinite gradient for a gamma below 1.
    rest = -log_p.expm1().clamp(max=-torch.finfo(log_p.dtype).tiny)  # 1 - p, exact near p = 1
    terms = -shares * rest**focal * log_p
    return (terms if weights is None else terms * weights).sum(dim=1)


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor | None, *, focal: float, smoothing: float
) -> Tensor:
    """Of each class ``-w q (1 - p)^focal log p - (1 - q) p^focal log(1 - p)``; the mean: ``(B,)``."""
    shares = targets * (1 - smoothing) + smoothing / 2  # (B, C)
    if not focal:
        losses = functional.binary_cross_entropy_with_logits(
            logits, shares, pos_weight=weights, reduction="none"
        )
        return losses.mean(dim=1)
    log_p, log_rest = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive = -shares * (focal * log_rest).exp() * log_p
    negative = -(1 - shares) * (focal * log_p).exp() * log_rest
    weighted = positive if weights is None else positive * weights
    return (weighted + negative).mean(dim=1)


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error over the targets of each sample: ``(B,)``."""
    del weights  # there are no classes
    return functional.mse_loss(outputs, targets.float(), reduction="none").mean(dim=1)


# -- validation --------------------------------------------------------------------------------


def refuse_class_options(class_weights: bool, focal: float, label_smoothing: float) -> None:
    """Raise a :class:`UsageError` for an option that is only for classification."""
    options = {
        "--class-weights": class_weights,
        f"--focal {focal:g}": focal,
        f"--label-smoothing {label_smoothing:g}": label_smoothing,
    }
    if given := [option for option, value in options.items() if value]:
        raise UsageError(
            f"{given[0]} is only for classification, not regression",
            hint=f"Remove {given[0].partition(' ')[0]}.",
        )
