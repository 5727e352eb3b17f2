"""Features after training: to recognise inputs unlike the training data, and to attack the run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.samples import Samples
from zoo.data.sequences import Indices
from zoo.engine.forward import head_logits
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.plain_features import TRAIN, VAL, plain_features
from zoo.engine.progress import Reporter
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import ZooError
from zoo.runs.feature_bank import FeatureBank, some_of
from zoo.tasks.membership import Membership, membership
from zoo.training.plan import Plan


@dataclass(frozen=True)
class SampledFeatures:
    """Features of up to 1,000 training and validation samples, chosen at random.

    Attributes:
        train: ``(N, feature_dim)``.
        val: ``(M, feature_dim)``.
        train_at: Places of the training samples.
        val_at: Places of the validation samples.
    """

    train: Tensor
    val: Tensor
    train_at: Indices
    val_at: Indices


def sampled_features(
    setup: TrainingSetup, plan: Plan, reporter: Reporter
) -> SampledFeatures | None:
    """Features of some samples, without augmentation.

    ``None`` with folds, whose network has seen all samples; if the parameters are divided among
    processes; and if a sample cannot be read any more.
    """
    request, val = plan.request, plan.splits.val
    assert val is not None
    if request.folds or request.fold or setup.accelerator.is_fsdp2:
        return None
    spec = plan.backbone.spec
    loaders = LoaderFactory(
        spec=spec, tokenizer=plan.start.start.tokenizer, workers=request.workers
    )
    dataloaders = setup.dataloaders
    held = dataloaders.placement is not None and dataloaders.placement.memory
    train = plan.splits.train if held else dataloaders.train.reader.samples
    known = val if held else dataloaders.val.reader.samples

    def features(split: str, samples: Samples, chosen: Indices) -> Tensor:
        return plain_features(
            setup, plan.phases, split, samples, chosen, loaders=loaders, reporter=reporter
        )

    train_at, val_at = (some_of(len(each), plan.recipe.seed) for each in (train, known))
    try:
        return SampledFeatures(
            features(TRAIN, train, train_at), features(VAL, known, val_at), train_at, val_at
        )
    except ZooError as error:
        reporter.note(f"zoo predict --reject will not work with this run: {error.message}")
        return None


def typical_features(
    sampled: SampledFeatures | None, plan: Plan
) -> tuple[FeatureBank, NDArray[np.float64]] | None:
    """Features of training samples, and the distances of held-out samples from them.

    ``None`` also for a private run, whose samples they would give away.
    """
    if sampled is None or plan.privacy:
        return None
    bank = FeatureBank.of(sampled.train)
    distances = bank.distances(sampled.val).double().numpy()
    return (bank, distances) if math.isfinite(distances.sum()) else None


@torch.no_grad()
def attacked(
    sampled: SampledFeatures | None, setup: TrainingSetup, plan: Plan
) -> Membership | None:
    """How well losses tell training samples from validation samples."""
    if sampled is None:
        return None
    train, val, backbone = plan.splits.train.labels, setup.dataloaders.val_labels, plan.backbone
    assert train is not None
    device, task = setup.forward.device, plan.task
    loss = task.loss(train).to(device)
    backbone.eval()

    def losses(features: Tensor, labels: NDArray[np.generic]) -> NDArray[np.float64]:
        targets = task.targets(torch.from_numpy(labels).to(device))
        each: Tensor = loss(head_logits(backbone, features.to(device)), targets)
        return each.double().cpu().numpy()

    return membership(
        losses(sampled.train, train[sampled.train_at]),
        losses(sampled.val, val[sampled.val_at]),
        seed=plan.recipe.seed,
    )
