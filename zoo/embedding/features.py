"""Features of the samples of a dataset, from the cache or computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.data.rows import Rows
from zoo.data.samples import Samples
from zoo.embedding.files import Features
from zoo.embedding.network import Network
from zoo.engine.extraction import CUT, fill_features
from zoo.engine.features import backbone_key, compute
from zoo.engine.progress import Reporter
from zoo.system.paths import cache_folder


def features_of_rows(
    network: Network, rows: Rows, source: str, reporter: Reporter
) -> dict[str, Features]:
    """The features of each split, ``(N, feature_dim)``, from the cache or computed.

    Args:
        network: Computes them.
        rows: The samples.
        source: The data as the user named it, for the description of the cached files.
        reporter: Gets the progress.
    """
    return {
        split: _features_of(network, samples, split, source, reporter)
        for split, samples in rows.splits.items()
    }


def _features_of(
    network: Network, samples: Samples, split: str, source: str, reporter: Reporter
) -> Features:
    """The features of a split, mapped into memory; ``(N, feature_dim)``."""
    forward, width = network.forward, network.spec.feature_dim
    if not len(samples):
        return np.empty((0, width), dtype=np.float32)
    limit = getattr(network.spec.input, "max_length", None)
    facts: dict[str, str | int] = {
        "backbone": network.spec.name,
        "precision": forward.precision,
        "data": source,
        "split": split,
        "samples": len(samples),
    }

    def fill(array: NDArray[np.float32]) -> None:
        facts[CUT] = fill_features(array, samples, network.loaders, forward, reporter)

    return compute(
        cache_folder() / "features",
        key=(
            backbone_key(forward.backbone, forward.precision),
            samples.fingerprint,
            f"{limit}",
        ),
        shape=(len(samples), width),
        dtype=np.float32,
        fill=fill,
        facts=facts,
        reporter=reporter,
    )
