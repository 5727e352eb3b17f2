"""What a run keeps to recognise inputs that are unlike its training data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.samples import Samples
from zoo.data.sequences import Indices
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.plain_features import TRAIN, VAL, plain_features
from zoo.engine.progress import Reporter
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import ZooError
from zoo.runs.feature_bank import MOST, FeatureBank
from zoo.training.plan import Plan


def typical_features(
    setup: TrainingSetup, plan: Plan, reporter: Reporter
) -> tuple[FeatureBank, NDArray[np.float64]] | None:
    """Features of training samples, and the distances of held-out samples from them.

    Of up to 1,000 samples each, chosen at random. ``None`` with folds, whose network has seen all
    samples; of a private run, whose samples it would give away; if the parameters are divided
    among processes; and if a sample cannot be read any more.
    """
    request, val = plan.request, plan.splits.val
    assert val is not None
    if request.folds or request.fold or plan.privacy or setup.accelerator.is_fsdp2:
        return None
    spec = plan.backbone.spec
    loaders = LoaderFactory(
        spec=spec, tokenizer=plan.start.start.tokenizer, workers=request.workers
    )
    dataloaders = setup.dataloaders
    held = dataloaders.placement is not None and dataloaders.placement.memory
    train = plan.splits.train if held else dataloaders.train.reader.samples
    known = val if held else dataloaders.val.reader.samples

    def features(split: str, samples: Samples) -> Tensor:
        return plain_features(
            setup, plan.phases, split, samples, _some(len(samples), plan.recipe.seed),
            loaders=loaders, reporter=reporter,
        )  # fmt: skip

    try:
        bank = FeatureBank.of(features(TRAIN, train))
        distances = bank.distances(features(VAL, known)).double().numpy()
    except ZooError as error:
        reporter.note(f"zoo predict --reject will not work with this run: {error.message}")
        return None
    return (bank, distances) if math.isfinite(distances.sum()) else None


def _some(count: int, seed: int) -> Indices:
    """The places of up to 1,000 of ``count`` samples, in order."""
    chosen: Indices = np.sort(np.random.default_rng(seed).permutation(count)[:MOST])
    return chosen
