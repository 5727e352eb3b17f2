"""Batches of one sample, of which batch normalisation can make no statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.backbone import Backbone
from zoo.engine.forward import Forward
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError
from zoo.system.tensors.hooks import hooked


def training_norms(backbone: Backbone) -> list[str]:
    """Paths of what trains and computes statistics of a batch."""
    return [
        path
        for path, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and _trains(module)
    ]


def refuse_single_sample_batches(
    forward: Forward,
    norms: Iterable[str],
    recipe: Recipe,
    example: Callable[[], Mapping[str, Tensor]],
) -> None:
    """Raise a :class:`UsageError` where parts of one sample would stop training in its midst.

    Where the maps are larger than one place, batch normalisation can do with one sample, so the
    network is tried on an example.

    Args:
        forward: Runs the backbone.
        norms: Paths of the normalisations that train in some phase.
        recipe: Its ``batch_size`` and ``accumulate`` decide how large the parts are.
        example: Gives one prepared sample, anywhere.
    """
    if recipe.batch_size >= 2 * recipe.accumulate or not (names := set(norms)):
        return
    if layer := _without_statistics(forward, names, example()):
        given = f"--batch-size {recipe.batch_size}"
        given += f" --accumulate {recipe.accumulate}" if recipe.accumulate > 1 else ""
        raise UsageError(
            f"{given} leaves batches of one sample, of which the batch normalisation {layer!r} "
            "can make no statistics",
            hint="Give a --batch-size of at least 2 samples for each part of --accumulate.",
        )


@torch.no_grad()
def _without_statistics(forward: Forward, names: set[str], example: Mapping[str, Tensor]) -> str:
    """The first of the normalisations that gets one value a channel; empty if none does."""
    modules = {m: name for name, m in forward.backbone.named_modules() if name in names}
    found: list[str] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            found.append(modules[module])

    with hooked(modules, before=look):
        forward.logits(example)
    return found[0] if found else ""


def _trains(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return not own or any(parameter.requires_grad for parameter in own)
