"""Predictions for each sample by linear probes that were trained on other samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.folds import held_out, merged
from zoo.data.samples import LabelArray, Samples, Splits
from zoo.data.sequences import Indices
from zoo.engine.linear_fit import Fitted, Standardised, fit_linear
from zoo.engine.strategies import STRENGTHS
from zoo.errors import DataError
from zoo.tasks.task import Task

FOLDS = 5

_ROWS = 16_384  # features at a time


def out_of_fold(
    features: NDArray[np.float32],
    samples: Samples,
    task: Task,
    classes: Sequence[str],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """``(N, outputs)``: probabilities or values for each sample, by a probe that has not seen it.

    The regularisation strength is the one with the lowest loss on the first fold.

    Args:
        features: ``(N, D)``.
        samples: The same samples, with labels.
        task: Fitted to the labels.
        classes: Names of classes or targets.
        seed: Determines the folds.

    Raises:
        DataError: There are too few samples or groups.
    """
    strengths: Sequence[float] = STRENGTHS
    labels = samples.labels
    assert labels is not None
    predicted = np.empty((len(labels), len(classes)))
    for held in folds(samples, task, classes, seed):
        rest = np.setdiff1d(np.arange(len(labels)), held)
        fitted = _fit(features[rest], labels[rest], task, len(classes), strengths)
        logits = [_logits(each, features[held]) for each in fitted]
        losses = [task.mean_loss(each, labels[held]) for each in logits]
        best = int(np.argmin(losses))
        predicted[held] = task.decode(logits[best])
        strengths = strengths[best : best + 1] if len(strengths) > 1 else strengths
    return predicted


def folds(samples: Samples, task: Task, classes: Sequence[str], seed: int) -> list[Indices]:
    """The samples that each fold holds out: as in a cross-validation, of up to :data:`FOLDS`.

    Args:
        samples: All of them, with labels.
        task: That of the labels.
        classes: Names of classes or targets.
        seed: Determines the folds.

    Raises:
        DataError: There are too few samples or groups.
    """
    assert samples.labels is not None
    strata, groups = task.strata(samples.labels), samples.groups
    largest = len(samples) if strata is None else int(np.bincount(strata).max())
    count = min(FOLDS, largest, len(samples) if groups is None else len(np.unique(groups)))
    if count < 2:
        raise DataError(
            f"there are too few samples of a class, or too few groups, to judge the labels of "
            f"{len(samples):,} {samples.kind.nouns}",
            hint="Add samples, or name other groups.",
        )
    splits = Splits(
        kind=samples.kind,
        classes=tuple(classes),
        train=samples,
        val=None,
        test=None,
        fingerprint="",
        source="",
        task=task.name,
    )
    parts = held_out(merged(splits, task, count), task, count=count, seed=seed)
    return [part for part in parts if 0 < len(part) < len(samples)]


def _fit(
    features: NDArray[np.float32],
    labels: LabelArray,
    task: Task,
    outputs: int,
    strengths: Sequence[float],
) -> list[Fitted]:
    rows = torch.from_numpy(np.ascontiguousarray(features))

    def chunks() -> Iterator[Tensor]:
        yield from torch.split(rows, _ROWS)

    return fit_linear(
        Standardised.of(chunks, centred=True),
        task.targets(torch.from_numpy(labels)),
        task.loss(labels),
        outputs=outputs,
        bias=True,
        strengths=strengths,
    )


@torch.no_grad()
def _logits(fitted: Fitted, features: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(features) @ fitted.weight.T + fitted.bias
