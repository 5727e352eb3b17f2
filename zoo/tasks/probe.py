"""Linear probes on features, to rank backbones in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray

Matrix: TypeAlias = NDArray[np.floating[Any]]

ALPHAS = tuple(10.0**power for power in range(-1, 6))
"""Regularisation strengths to choose from, for features of unit variance."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The linear probe of one task.

    Attributes:
        metric: The name of its score.
        model: Makes a scikit-learn estimator: ridge regression, to 1 and -1 for classes.
        outputs: From a fitted model and features ``(M, D)`` to outputs, ``(M, …)``.
        score: From outputs and labels to a score; higher is better.
        targets: From labels to the targets of LogME, ``(N, K)``.
        stratified: Whether folds are stratified by class.
        margin: From a score and the number of samples to the standard error of a difference
            between two scores; ``None`` if unknown.
    """

    metric: str
    model: Callable[[], Any]
    outputs: Callable[[Any, Matrix], NDArray[Any]]
    score: Callable[[NDArray[Any], LabelArray], float]
    targets: Callable[[LabelArray], NDArray[np.float64]]
    stratified: bool = False
    margin: Callable[[float, int], float | None] = lambda _score, _samples: None


def ridge_classifier() -> Any:
    """A ridge classifier, regularised by leave-one-out cross-validation."""
    from sklearn.linear_model import RidgeClassifierCV

    return RidgeClassifierCV(ALPHAS)


def ridge() -> Any:
    """A ridge regression, regularised by leave-one-out cross-validation."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(ALPHAS)
