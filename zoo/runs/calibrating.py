"""Fit a temperature, thresholds and scores on the held-out outputs of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.samples import LabelArray
from zoo.runs.calibration_file import FittedCalibration, Scores
from zoo.runs.reliability import calibration
from zoo.tasks.task import Task

LEAST = 20
"""Held-out samples, or groups of them, below which nothing is fitted."""

_MOST = 10_000
"""Samples that a temperature, one number, is fitted on."""

_RANGE = (math.log(0.05), math.log(20))
_TOLERANCE = 4e-3
_GOLDEN = (math.sqrt(5) - 1) / 2


def calibrated(
    task: Task,
    logits: Tensor,
    labels: LabelArray,
    classes: Sequence[str],
    groups: NDArray[np.str_] | None = None,
    *,
    seed: int = 0,
    distances: NDArray[np.float64] | None = None,
) -> FittedCalibration | None:
    """What ``calibration.json`` holds; ``None`` for too few samples, or NaN.

    The errors with the temperature are measured on samples that it was not fitted on: each half of
    them with the temperature of the other. The temperature itself is that of all samples, or 1 if
    it does not lower the loss on the other half, and for regression.

    Args:
        task: The run's.
        logits: ``(N, outputs)`` of the held-out samples, on the CPU.
        labels: Their labels.
        classes: Class names, or target columns.
        groups: ``(N,)``, the group of each sample, if groups are known: none is in both halves.
        seed: Of the halves.
        distances: From the training samples, of held-out ones; see :class:`FeatureBank`.
    """
    logits = logits.double()
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    if len(np.unique(units)) < LEAST or not logits.isfinite().all():
        return None
    crossed, temperature = logits, 1.0
    before = after = task.mean_loss(logits, labels)
    if task.has_classes:
        tried = _by_halves(task, logits, labels, _halves(units, seed))
        if (loss := task.mean_loss(tried, labels)) < before:
            crossed, after = tried, loss
            temperature = fit_temperature(task, logits, labels)
    outputs = task.decode(logits)
    limits = task.best_thresholds(task.decode(logits / temperature), labels)
    conformity = task.conformity(outputs, labels)
    return FittedCalibration(
        samples=len(labels),
        temperature=temperature,
        error_before=_error(task, outputs, labels),
        error_after=_error(task, task.decode(crossed), labels),
        loss_before=before,
        loss_after=after,
        thresholds=None if limits is None else dict(zip(classes, limits.tolist(), strict=True)),
        conformal=() if conformity is None else tuple(map(Scores.of, conformity.T)),
        distance=None if distances is None else Scores.of(distances),
    )


def _by_halves(
    task: Task, logits: Tensor, labels: LabelArray, halves: tuple[Tensor, Tensor]
) -> Tensor:
    """The logits of each half, divided by the temperature of the other."""
    crossed = logits.clone()
    for half, other in (halves, halves[::-1]):
        crossed[half] /= fit_temperature(task, logits[other], labels[other])
    return crossed


def fit_temperature(task: Task, logits: Tensor, labels: LabelArray) -> float:
    """The number from 0.05 to 20 that the logits are divided by for the lowest loss.

    Guo et al. 2017, arXiv:1706.04599. The loss is convex in the inverse, so it has one minimum. As
    in Platt scaling, labels are smoothed: by as much as one more sample with a random label would.
    Without it, samples that are all right would want probabilities of 1.
    """
    if len(labels) > _MOST:
        chosen = np.linspace(0, len(labels) - 1, _MOST).astype(np.int64)
        logits, labels = logits[chosen], labels[chosen]
    doubt = 1 / (len(labels) + 1)

    def loss(log: float) -> float:
        return task.mean_loss(logits / math.exp(log), labels, smoothing=doubt)

    return math.exp(_lowest(loss))


def _lowest(loss: Callable[[float], float]) -> float:
    """Where in :data:`_RANGE` ``loss`` is lowest, by golden-section search.

    SciPy, which has a faster search, takes longer to import than this one does.
    """
    low, high = _RANGE
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2


def _halves(units: NDArray[np.int64], seed: int) -> tuple[Tensor, Tensor]:
    """The indices of two halves of the samples, ``units`` being their groups."""
    names = np.unique(units)
    first = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    inside = np.isin(units, first)
    return torch.from_numpy(np.flatnonzero(inside)), torch.from_numpy(np.flatnonzero(~inside))


def _error(task: Task, outputs: NDArray[np.float64], labels: LabelArray) -> float | None:
    found = calibration(task, outputs, labels)
    return found.error if found else None
