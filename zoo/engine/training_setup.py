"""Everything that the phases of a fit share: dataloaders, hyperparameters, task, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import nn

from zoo.contract.extensions import OptimizerSpec
from zoo.data.loader import Loader
from zoo.data.sequences import Indices
from zoo.engine.checkpoint import MOST_OUTPUTS, CheckpointStore
from zoo.engine.chosen_epochs import ChosenEpochs
from zoo.engine.forward import Forward
from zoo.engine.interrupts import Interrupts
from zoo.engine.linear_fit import Prior
from zoo.engine.placement import Placement
from zoo.engine.privacy import Privacy
from zoo.engine.progress import GuardedReporter, Reporter
from zoo.engine.recipe import Recipe
from zoo.engine.time_limit import TimeLimit
from zoo.registry.offers import Offer
from zoo.system.parts import Parts
from zoo.tasks.task import Task

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, kw_only=True)
class PooledLoaders:
    """The dataloaders of all samples of a cross-validation, whose folds share cached features.

    Attributes:
        plain_train: Makes one pass over the samples, without augmentation.
        view: Makes one pass over the samples in the augmented view of a given number.
        train: Indices of the training split.
        val: Indices of the validation split.
        count: Number of samples.
        key: Identifies the samples and what prepares them, for the feature cache.
    """

    plain_train: Callable[[], Loader]
    view: Callable[[int], Loader]
    train: Indices
    val: Indices
    count: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Dataloaders:
    """The dataloaders of training and validation.

    Attributes:
        train: Shuffled, augmented batches; ``set_epoch`` before each pass.
        plain_train: Makes one pass over the training split, without augmentation.
        view: Makes one pass over the training split in the augmented view of a given number.
        variation: Identifies the augmentation of the views, for the feature cache.
        val: The validation split once.
        train_labels: ``(N,)`` class indices, or ``(N, outputs)``.
        val_labels: ``(M,)`` class indices, or ``(M, outputs)``.
        key: Identifies the data, for the feature cache.
        source: Name of the data.
        notes: Notes on the data and on what of it is not read.
        placement: Where batches are made; ``None`` if there is no choice.
        pool: Those of a cross-validation.
    """

    train: Loader
    plain_train: Callable[[], Loader]
    view: Callable[[int], Loader]
    variation: str
    val: Loader
    train_labels: NDArray[Any]
    val_labels: NDArray[Any]
    key: str
    source: str
    notes: tuple[str, ...] = ()
    placement: Placement | None = None
    pool: PooledLoaders | None = None

    def close(self) -> None:
        """End the workers of ``train`` and ``val``; the other loaders are closed where they are made."""
        self.train.close()
        self.val.close()


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Everything that the phases of a fit share.

    Attributes:
        forward: Runs the backbone.
        dataloaders: The dataloaders.
        recipe: The hyperparameters.
        task: The meaning of outputs, and their metrics.
        optimizers: The optimisers of all phases, by the names that these use.
        loss: From logits and targets to one loss per sample.
        outputs: Width of the logits.
        accelerator: One process or many.
        cache: Folder of the feature cache.
        checkpoints: Saves and loads the state.
        interrupts: The signals received so far.
        reporter: Receives progress, notes and epochs.
        parts: Counts the seconds by part.
        limit: The time limit, if any.
        cuts: What a time limit decided in the run that this one repeats.
        chosen: The epochs to keep, which folds have chosen; ``None`` to choose by ``val``.
        most_outputs: Bytes up to which the validation outputs of all epochs are kept.
        keeps_adapters: Whether adapters are saved beside their base, rather than merged into it.
        privacy: The noise of private training; ``None`` without.
        prior: The rows of the head that are kept from an old one; ``None`` if there are none.
    """

    forward: Forward
    dataloaders: Dataloaders
    recipe: Recipe
    task: Task
    optimizers: Mapping[str, Offer[OptimizerSpec]]
    loss: nn.Module
    outputs: int
    accelerator: Accelerator
    cache: Path
    checkpoints: CheckpointStore
    interrupts: Interrupts
    reporter: Reporter
    parts: Parts = field(default_factory=Parts)
    limit: TimeLimit | None = None
    cuts: Sequence[Sequence[int]] = ()
    chosen: ChosenEpochs | None = None
    most_outputs: float = MOST_OUTPUTS
    keeps_adapters: bool = False
    privacy: Privacy | None = None
    prior: Prior | None = None

    @property
    def extraction_reporter(self) -> Reporter:
        """The reporter for computing features, which is refused where the time limit is too short."""
        return GuardedReporter(self.reporter, self.limit) if self.limit else self.reporter
