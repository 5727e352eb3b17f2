"""How a linear model on features is fitted and scored, to rank backbones in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray

Matrix: TypeAlias = NDArray[np.floating[Any]]

ALPHAS = tuple(10.0**power for power in range(-1, 6))
"""Strengths of regularisation that the probe chooses among, on features of unit variance."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a linear model on the features of N samples is, for one task.

    Attributes:
        metric: What its score is called.
        model: Makes a scikit-learn estimator; ridge regression, to 1 and -1 for classes.
        outputs: From a fitted model and features ``(M, D)`` to what is scored, ``(M, …)``.
        score: From all of that and the labels to a number; more is better.
        targets: From the labels to what LogME fits, ``(N, K)``.
        stratified: Whether each fold has its share of each class.
        margin: From a score and the number of samples to the standard error of a difference
            between two such scores; ``None`` where that is not known.
    """

    metric: str
    model: Callable[[], Any]
    outputs: Callable[[Any, Matrix], NDArray[Any]]
    score: Callable[[NDArray[Any], LabelArray], float]
    targets: Callable[[LabelArray], NDArray[np.float64]]
    stratified: bool = False
    margin: Callable[[float, int], float | None] = lambda _score, _samples: None


def ridge_classifier() -> Any:
    """With the strength that leave-one-out finds best."""
    from sklearn.linear_model import RidgeClassifierCV

    return RidgeClassifierCV(ALPHAS)


def ridge() -> Any:
    """Likewise, for numbers."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(ALPHAS)
