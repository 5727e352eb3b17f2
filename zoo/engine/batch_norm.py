"""Batches of one sample, of which batch normalisation can make no statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.backbone import Backbone
from zoo.engine import adapters
from zoo.engine.forward import Forward
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.trainable import choose_trained
from zoo.errors import UsageError
from zoo.system.tensors.hooks import hooked


def normalises_batches(backbone: Backbone) -> bool:
    """Whether anything that trains computes statistics of a batch."""
    return any(isinstance(module, _BatchNorm) and _trains(module) for module in backbone.modules())


def refuse_single(
    forward: Forward,
    phases: Sequence[Phase],
    recipe: Recipe,
    example: Callable[[], Mapping[str, Tensor]],
) -> None:
    """Raise a :class:`UsageError` where parts of one sample would stop training in its midst.

    Where the maps are larger than one place, batch normalisation can do with one sample, so the
    network is tried on an example.

    Args:
        forward: Runs the backbone.
        phases: What trains.
        recipe: Its ``batch_size`` and ``accumulate`` decide how large the parts are.
        example: Gives one prepared sample, anywhere.
    """
    if recipe.batch_size >= 2 * recipe.accumulate:
        return
    for phase in phases:
        if not phase.trains_backbone:
            continue
        choose_trained(forward.backbone, phase, recipe, done=1.0)
        layer = _without_statistics(forward, example())
        adapters.take_out(forward.backbone)
        if layer:
            given = f"--batch-size {recipe.batch_size}"
            given += f" --accumulate {recipe.accumulate}" if recipe.accumulate > 1 else ""
            raise UsageError(
                f"{given} leaves batches of one sample, of which the batch normalisation {layer} "
                "can make no statistics",
                hint="Give a --batch-size of at least 2 samples for each part of --accumulate.",
            )


@torch.no_grad()
def _without_statistics(forward: Forward, example: Mapping[str, Tensor]) -> str:
    """The first normalisation that trains and gets one value a channel; empty if none does."""
    backbone = forward.backbone.eval()
    names: dict[nn.Module, str] = {
        module: name
        for name, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and _trains(module)
    }
    found: list[str] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            found.append(names[module])

    with hooked(names, before=look):
        forward.logits(example)
    return repr(found[0]) if found else ""


def _trains(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return not own or any(parameter.requires_grad for parameter in own)
