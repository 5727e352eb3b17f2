"""Scores of how well features suit labels: LogME and a linear probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray
from zoo.tasks.probe import Matrix, Probe

FOLDS = 5
DRAWS = 200
"""Bootstrap samples."""

_ROUNDS = 100
_CONVERGED = 1e-5  # relative change of alpha / beta
_TINY = 1e-12


def logme(features: Matrix, targets: Matrix) -> float:
    """LogME: the maximum log evidence of a linear model, per sample; higher is better.

    Targets are modelled as ``features @ w`` with Gaussian noise of precision beta, and ``w`` as
    Gaussian with precision alpha. With ``w`` integrated out, the two precisions that maximise the
    evidence are a fixed point (You et al. 2021, "LogME: Practical Assessment of
    Pre-trained Models for Transfer Learning", arXiv:2102.11005, algorithm 1; after one singular
    value decomposition each round costs as much as there are singular values, as in You et al.
    2022, "Ranking and Tuning Pre-trained Models", arXiv:2110.10545).

    Args:
        features: ``(N, D)``.
        targets: ``(N, K)``: one-hot classes, or values.

    Returns:
        The mean over the K columns.
    """
    rotation, spectrum, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    projected = rotation.T @ targets.astype(np.float64)  # (R, K)
    lengths = (targets.astype(np.float64) ** 2).sum(axis=0)  # (K,)
    return float(
        np.mean(
            [
                _evidence(spectrum**2, column**2, length, features.shape)
                for column, length in zip(projected.T, lengths, strict=True)
            ]
        )
    )


def _evidence(
    spectrum: NDArray[np.float64],
    projected: NDArray[np.float64],
    length: float,
    shape: tuple[int, ...],
) -> float:
    """The largest log evidence of one column of targets, divided by N.

    Args:
        spectrum: Squared singular values of the features, ``(R,)``.
        projected: Squared lengths of the targets along the left singular vectors, ``(R,)``.
        length: Squared length of the targets.
        shape: ``(N, D)``.
    """
    count, width = shape
    outside = max(0.0, length - float(projected.sum()))  # outside the column space
    alpha = beta = 1.0
    for _ in range(_ROUNDS):
        ratio = alpha / beta
        weights = float((spectrum * projected / (spectrum + ratio) ** 2).sum())  # |w|²
        residual = float((projected * (ratio / (spectrum + ratio)) ** 2).sum()) + outside
        effective = float((spectrum / (spectrum + ratio)).sum())
        alpha = effective / (weights + _TINY)
        beta = (count - effective) / (residual + _TINY)
        if abs(alpha / beta - ratio) <= _CONVERGED * ratio:
            break
    ratio = alpha / beta
    weights = float((spectrum * projected / (spectrum + ratio) ** 2).sum())
    residual = float((projected * (ratio / (spectrum + ratio)) ** 2).sum()) + outside
    curvature = float(np.log(alpha + beta * spectrum).sum())
    curvature += (width - len(spectrum)) * np.log(alpha)
    evidence = (
        width * np.log(alpha)
        + count * np.log(beta / (2 * np.pi))
        - curvature
        - beta * residual
        - alpha * weights
    )
    return float(evidence) / (2 * count)


def probe(
    features: Matrix,
    labels: LabelArray,
    how: Probe,
    *,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
    draws: list[float] | None = None,
) -> float:
    """Cross-validated score of a linear model on the features; higher is better.

    Ridge regression on standardised features, to targets 1 and -1 for classes, with the strength
    chosen by leave-one-out within each fold's training samples.

    Args:
        features: ``(N, D)``.
        labels: As the task has them.
        how: The probe of the task.
        seed: Random seed of the folds.
        check: Called before each fold; may raise.
        draws: Receives the scores of bootstrap samples, the same samples for the same seed.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted: NDArray[Any] | None = None
    for train, held_out in _folds(labels, how, seed):
        check()
        model = make_pipeline(StandardScaler(), how.model())
        model.fit(features[train], labels[train])
        given = how.outputs(model, features[held_out])
        if predicted is None:
            predicted = np.empty((len(labels), *given.shape[1:]), dtype=given.dtype)
        predicted[held_out] = given
    assert predicted is not None
    if draws is not None:
        drawn = np.random.default_rng(seed)
        for _ in range(DRAWS):
            rows = drawn.integers(0, len(labels), len(labels))
            draws.append(how.score(predicted[rows], labels[rows]))
            check()
    return how.score(predicted, labels)


def _folds(
    labels: LabelArray, how: Probe, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and held-out samples of each fold, stratified by class if possible."""
    from sklearn.model_selection import KFold, StratifiedKFold

    rarest = np.bincount(labels).min() if how.stratified else 0
    kind = StratifiedKFold if rarest >= FOLDS else KFold
    folds = min(FOLDS, len(labels))
    yield from kind(folds, shuffle=True, random_state=seed).split(labels, labels)
