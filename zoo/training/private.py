"""The plan of private training, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate import Accelerator
from torch import nn

from zoo.engine.privacy import LEAST, Privacy, make_privacy
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.errors import UsageError
from zoo.runs.request import Request
from zoo.training.opened import Opened
from zoo.training.start import TrainingStart


def plan_privacy(
    request: Request,
    opened: Opened,
    start: TrainingStart,
    recipe: Recipe,
    phases: Sequence[Phase],
    accelerator: Accelerator,
) -> Privacy | None:
    """The noise for the requested epsilon; ``None`` without.

    Raises:
        UsageError: Something of the run would not be private, or there are too few samples.
    """
    if not request.private:
        return None
    _refuse_phases(recipe, phases)
    _refuse_outputs(opened, start)
    if accelerator.num_processes > 1:
        raise UsageError(
            f"--private works in one process, and there are {accelerator.num_processes}",
            hint="Start it without a launcher.",
        )
    train = opened.splits.train
    needed = LEAST * len(opened.splits.classes)
    if len(train) < needed:
        raise UsageError(
            f"--private needs at least {LEAST} training samples per class, which is {needed}, "
            f"got {len(train)}",
            hint="With so few, the noise is larger than what they teach. Use more samples.",
        )
    return make_privacy(recipe, len(train), groups=train.groups is not None)


def _refuse_phases(recipe: Recipe, phases: Sequence[Phase]) -> None:
    if all(phase.private for phase in phases):
        return
    raise UsageError(
        f"--private works with the strategy probe only, got {recipe.strategy!r}: DP-SGD trains a "
        "linear head on features of the frozen backbone",
        hint="Leave --strategy out, or use --strategy probe.",
    )


def _refuse_outputs(opened: Opened, start: TrainingStart) -> None:
    """Raise a :class:`UsageError` if head, task or tokenizer would not be private."""
    if not opened.task.has_classes:
        raise UsageError(
            f"--private does not work with the task {opened.task.name}: its targets are standardised "
            "over the training samples, which is not private",
            hint="Use classes, such as ranges of the values.",
        )
    if type(start.backbone.head) is not nn.Linear:
        raise UsageError(
            f"--private needs a linear head, got {opened.head.name!r}",
            hint="Leave --head out.",
        )
    if start.start.weights is None and start.start.tokenizer is not None:
        raise UsageError(
            "--private does not work without pretrained weights for texts: the tokenizer would be "
            "trained on the training texts, which is not private",
            hint="Choose a pretrained backbone, such as minilm.",
        )
