"""Which batch normalisations train on statistics of the batch, and refusals where that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.network.backbone import Backbone
from zoo.engine import adapters
from zoo.engine.forward import Forward
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.trainable import choose_trained
from zoo.errors import UsageError
from zoo.system.tensors.hooks import hooked


def refuse_batch_norm(
    backbone: Backbone, phases: Iterable[Phase], recipe: Recipe, given: Mapping[str, Any]
) -> None:
    """Raise a :class:`UsageError` for a given ``batch_norm`` without effect.

    Args:
        backbone: Is left without adapters.
        phases: Phases of the strategy.
        recipe: All hyperparameters.
        given: The given values, by the names of the recipe's fields.
    """
    value = given.get("batch_norm")
    if value is None or any(_normalises(backbone, phase, recipe, value) for phase in phases):
        return
    what = " with stored statistics" if value == "stored" else ""
    raise UsageError(
        f"--batch-norm {value} has no effect: no batch normalisation{what} trains",
        hint="Remove --batch-norm.",
    )


def _normalises(backbone: Backbone, phase: Phase, recipe: Recipe, value: str) -> bool:
    """Whether the phase trains a batch normalisation that ``value`` is about."""
    if not phase.trains_backbone:
        return False
    choose_trained(backbone, phase, recipe, done=1.0)
    of = backbone.fixed_norms if value == "stored" else backbone.modules()
    found = any(isinstance(module, _BatchNorm) and _trains(module) for module in of)
    adapters.remove(backbone)
    return found


def training_norms(backbone: Backbone) -> list[str]:
    """Paths of the trained layers that compute batch statistics."""
    return [
        path
        for path, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and module not in backbone.fixed_norms and _trains(module)
    ]


def refuse_single_sample_batches(
    forward: Forward,
    norms: Iterable[str],
    recipe: Recipe,
    example: Callable[[], Mapping[str, Tensor]],
) -> None:
    """Raise a :class:`UsageError` where batches of one sample would make training fail later.

    Batch normalisation works with one sample where feature maps have several positions, so the
    network is run on an example.

    Args:
        forward: Runs the backbone.
        norms: Paths of the normalisation layers that train in some phase.
        recipe: Its ``batch_size`` and ``accumulate`` give the size of micro-batches.
        example: Returns one prepared sample, on any device.
    """
    if recipe.batch_size >= 2 * recipe.accumulate or not (names := set(norms)):
        return
    if layer := _without_statistics(forward, names, example()):
        given = f"--batch-size {recipe.batch_size}"
        given += f" --accumulate {recipe.accumulate}" if recipe.accumulate > 1 else ""
        raise UsageError(
            f"{given} makes batches of one sample, which the batch normalisation {layer!r} "
            "does not support",
            hint="Use a --batch-size of at least 2 samples for each part of --accumulate.",
        )


@torch.no_grad()
def _without_statistics(forward: Forward, names: set[str], example: Mapping[str, Tensor]) -> str:
    """The first normalisation layer with one value per channel; empty if there is none."""
    modules = {m: name for name, m in forward.backbone.named_modules() if name in names}
    found: list[str] = []

    def check(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            found.append(modules[module])

    with hooked(modules, before=check):
        forward.logits(example)
    return found[0] if found else ""


def _trains(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return not parameters or any(parameter.requires_grad for parameter in parameters)
