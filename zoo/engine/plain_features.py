"""Features of some samples after training, without augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.data.samples import Samples
from zoo.data.sequences import Indices
from zoo.engine import features as feature_cache
from zoo.engine.extraction import fill_from
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.progress import Reporter
from zoo.engine.strategies import Phase
from zoo.engine.training_setup import TrainingSetup

TRAIN, VAL = "train", "val"


def plain_features(
    setup: TrainingSetup,
    phases: Sequence[Phase],
    split: str,
    samples: Samples,
    chosen: Indices,
    *,
    loaders: LoaderFactory,
    reporter: Reporter,
) -> Tensor:
    """The features of ``samples`` at ``chosen``, in float32: ``(len(chosen), feature_dim)``.

    Those of a backbone that was frozen throughout are read from the feature cache, if they are there.

    Args:
        setup: That of the fit.
        phases: Its phases.
        split: ``train`` or ``val``.
        samples: Of that split.
        chosen: Places of some of them.
        loaders: Makes the dataloader.
        reporter: Receives progress.
    """
    if not any(phase.trains_backbone for phase in phases):
        forward, exact = setup.forward, split == VAL
        weights = feature_cache.backbone_key(
            forward.backbone,
            forward.precision_of(exact=exact),
            compiled=forward.compiler is not None and not exact,
        )
        shape = (len(samples), forward.backbone.spec.feature_dim)
        key = (weights, setup.dataloaders.key, split)
        cached = feature_cache.kept(setup.cache, key=key, shape=shape, dtype=np.float32)
        if cached is not None:
            return torch.from_numpy(cached[chosen])
    array = np.empty((len(chosen), setup.forward.backbone.spec.feature_dim), dtype=np.float32)
    loader = loaders.plain(samples.select(chosen))
    fill_from(array, loader, setup.forward, reporter, exact=True)
    return torch.from_numpy(array)
