"""What each phase trains, determined on a copy of the backbone on the meta device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.engine import adapters
from zoo.engine.batch_norm import training_norms
from zoo.engine.groups import parameter_groups
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.trainable import choose_trained


@dataclass(frozen=True, kw_only=True)
class PhaseFacts:
    """What a phase trains.

    Attributes:
        trained: Number of trained parameters at its start, with the head.
        total: Number of all parameters, with adapters.
        adapters: Which layers have adapters, or which parameters train, in words; empty for all.
        least_lr: The smallest learning rate of any parameter.
        batch_norms: Paths of the batch-normalisation layers that train by its end.
    """

    trained: int
    total: int
    adapters: str
    least_lr: float
    batch_norms: tuple[str, ...]


def without_values(backbone: Backbone) -> Backbone:
    """A copy on the meta device, on which to freeze and unfreeze without changing ``backbone``."""
    memo: dict[int, Any] = {id(backbone.tokenizer): backbone.tokenizer}
    for tensor in (*backbone.parameters(), *backbone.buffers()):
        memo[id(tensor)] = _empty(tensor)
    return copy.deepcopy(backbone, memo)


def phase_facts(
    backbone: Backbone, phases: Sequence[Phase], recipe: Recipe
) -> tuple[PhaseFacts, ...]:
    """What each of the phases trains.

    Args:
        backbone: A copy :func:`without_values`.
        phases: Phases of the strategy.
        recipe: The hyperparameters.

    Raises:
        StageError: A stage or layer does not exist.
        UsageError: An adapter has no layers to adapt.
    """
    with torch.random.fork_rng():  # adapters are initialised randomly
        return tuple(_facts(backbone, phase, recipe) for phase in phases)


def _facts(backbone: Backbone, phase: Phase, recipe: Recipe) -> PhaseFacts:
    choose_trained(backbone, phase, recipe)
    parameters = list(backbone.parameters())
    kind = phase.kind
    words = (adapters.in_words(backbone, kind) if kind.inserts else kind.title) if kind else ""
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    least = min(group["lr"] for group in _groups(backbone, phase, recipe))
    if phase.trains_backbone:
        choose_trained(backbone, phase, recipe, done=1.0)
    facts = PhaseFacts(
        trained=trained,
        total=sum(p.numel() for p in parameters),
        adapters=words,
        least_lr=least,
        batch_norms=tuple(training_norms(backbone)) if phase.trains_backbone else (),
    )
    adapters.remove(backbone)
    return facts


def _groups(backbone: Backbone, phase: Phase, recipe: Recipe) -> list[dict[str, Any]]:
    return parameter_groups(
        backbone,
        lr=phase.lr,
        layer_decay=phase.layer_decay,
        weight_decay=0.0,
        base_width=recipe.base_width,
    )


def _empty(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty
