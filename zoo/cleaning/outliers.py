"""Samples that are far from all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10

_MOST = 20_000  # samples that the others are compared with
_FAR = 3.0  # interquartile ranges above the upper quartile, as Tukey's far outliers


def find_outliers(features: NDArray[np.float32], seed: int) -> NDArray[np.bool_]:
    """``(N,)``: whether the mean cosine distance to the nearest neighbours is far above the usual.

    Args:
        features: ``(N, D)``.
        seed: Determines the samples to compare with, of very many.
    """
    from sklearn.neighbors import NearestNeighbors

    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    draw = np.random.default_rng(seed)
    some = unit if len(unit) <= _MOST else unit[draw.choice(len(unit), _MOST, replace=False)]
    count = min(NEIGHBOURS + 1, len(some))  # the nearest is the sample itself
    found, _ = NearestNeighbors(n_neighbors=count).fit(some).kneighbors(unit)
    distances = np.square(found[:, 1:]).mean(axis=1) / 2
    low, high = np.quantile(distances, (0.25, 0.75))
    far: NDArray[np.bool_] = distances > high + _FAR * (high - low)
    return far
