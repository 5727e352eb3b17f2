"""The features of training samples that a soup keeps, as its runs do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.samples import Samples
from zoo.engine.extraction import fill_from
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import RunError
from zoo.runs.feature_bank import FeatureBank, some_of
from zoo.runs.run import Run


def features_of_soup(
    soup: Run,
    kept: Sequence[Run],
    train: Samples,
    val: Samples,
    *,
    device: str,
    workers: int | None,
    reporter: Reporter,
) -> tuple[FeatureBank, NDArray[np.float64]] | None:
    """Features of training samples by the mean network, and the distances of validation samples.

    ``None`` if a run of the soup keeps none: a private run, whose samples they would give away, and
    the final run of folds, whose network has seen all samples.

    Args:
        soup: A run with the mean network.
        kept: The runs in the mean.
        train: Training samples.
        val: Validation samples.
        device: Where features are computed.
        workers: Number of data-loading processes.
        reporter: Gets the notes.
    """
    if without := [str(run.folder) for run in kept if not _has_features(run)]:
        reporter.note(
            f"zoo predict --reject will not work with this run: {', '.join(without)} "
            f"keep{'s' if len(without) == 1 else ''} no features of training samples"
        )
        return None
    seed = int(soup.record["recipe"].get("seed") or 0)

    def features(samples: Samples) -> Tensor:
        chosen = samples.select(some_of(len(samples), seed))
        array = np.empty((len(chosen), soup.spec.feature_dim), dtype=np.float32)
        loader = soup.loaders(workers).plain(chosen, soup.reading)
        fill_from(array, loader, soup.forward(device), Quiet(), exact=True)
        return torch.from_numpy(array)

    bank = FeatureBank.of(features(train))
    distances = bank.distances(features(val)).double().numpy()
    if not np.isfinite(distances).all():
        return None
    reporter.note(
        f"features of {len(bank.features):,} training samples computed for zoo predict --reject"
    )
    return bank, distances


def _has_features(run: Run) -> bool:
    """Whether it keeps readable features; damaged ones are none."""
    try:
        return run.bank is not None
    except RunError:
        return False
