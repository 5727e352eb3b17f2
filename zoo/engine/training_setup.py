"""What a fit works with, whatever the phase: batches, hyperparameters, the task, where to save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from numpy.typing import NDArray

from zoo.data.loader import Loader
from zoo.engine.checkpoint import CheckpointStore
from zoo.engine.forward import Forward
from zoo.engine.interrupts import Interrupts
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.tasks.losses import Loss
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Dataloaders:
    """The batches that training and validation see.

    Attributes:
        train: Shuffled, augmented batches; ``set_epoch`` before each pass.
        plain_train: The training split once, prepared as for validation; made when needed.
        view: The training split once, each image in a variation of it, by the view's number.
        variation: What decides how the images of the views vary, in words.
        val: The validation split once.
        train_labels: ``(N,)`` class indices, or ``(N, outputs)``.
        val_labels: ``(M,)`` class indices, or ``(M, outputs)``.
        key: What identifies the data, for the feature cache.
        source: What the data are called.
        notes: What is worth knowing of the data and of how much of them is read, a fact each.
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

    def close(self) -> None:
        """End the workers of ``train`` and ``val``; whoever has made the other loaders ends theirs."""
        self.train.close()
        self.val.close()


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """What a fit works with, whatever the phase.

    Attributes:
        forward: Runs the backbone.
        dataloaders: The batches.
        recipe: The hyperparameters.
        task: What the outputs mean, and which metrics tell how good they are.
        loss: From logits and targets to a loss a sample.
        outputs: Width of the logits.
        accelerator: One process or many.
        cache: The folder that keeps features.
        checkpoints: Saves the state to go on from.
        interrupts: Whether somebody wants to stop.
        reporter: Sees what happens.
    """

    forward: Forward
    dataloaders: Dataloaders
    recipe: Recipe
    task: Task
    loss: Loss
    outputs: int
    accelerator: Accelerator
    cache: Path
    checkpoints: CheckpointStore
    interrupts: Interrupts
    reporter: Reporter
