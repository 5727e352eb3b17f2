"""Freezes and unfreezes parameters, by phase, recipe and progress."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from zoo.contract.adapters import imported
from zoo.contract.network.backbone import Backbone
from zoo.engine import adapters
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import MakePhases, Phase
from zoo.errors import UsageError


def choose_trained(backbone: Backbone, phase: Phase, recipe: Recipe, *, done: float = 0.0) -> None:
    """Freeze and unfreeze ``backbone`` for ``phase``. The head always trains.

    Args:
        backbone: Gets adapters if the phase trains them; otherwise existing ones are merged.
        phase: The phase.
        recipe: Its ``freeze`` and ``unfreeze`` name layers that stay frozen, or train, in every phase
            that trains the backbone.
        done: Share of the phase's steps completed, in [0, 1].

    Raises:
        StageError: A stage or layer does not exist.
        UsageError: There is nothing for the adapter to adapt.
    """
    kind = phase.kind
    if kind is None or not kind.inserts:
        adapters.merge(backbone)
    if not phase.trains_backbone:
        backbone.freeze()
        return
    if kind is None:
        backbone.unfreeze()
    elif kind.inserts:
        adapters.insert(backbone, recipe, kind)
    else:
        backbone.freeze()
        if chosen := list(imported(kind.parameters)(backbone.net)):
            backbone.unfreeze(*chosen)
    if until := _frozen_until(backbone, phase, done):
        backbone.freeze(upto=until)
    if recipe.freeze:
        backbone.freeze(*recipe.freeze)
    if recipe.unfreeze:
        backbone.unfreeze(*recipe.unfreeze)


def trained_names(backbone: Backbone) -> tuple[str, ...]:
    """The parameters that take gradients now, the head's included."""
    return tuple(name for name, tensor in backbone.named_parameters() if tensor.requires_grad)


def refuse_redundant_layers(
    backbone: Backbone, phases_of: MakePhases, recipe: Recipe, given: Mapping[str, Any]
) -> None:
    """Raise a :class:`UsageError` for ``freeze`` or ``unfreeze`` options without effect.

    Args:
        backbone: Is left without adapters.
        phases_of: Makes the phases from hyperparameters.
        recipe: All hyperparameters.
        given: The given values, by the names of the recipe's fields.

    Raises:
        ZooError: As :func:`choose_trained`.
    """
    nothing: Mapping[str, Any] = {"freeze_until": None, "freeze": (), "unfreeze": ()}
    for name in nothing:
        layers = given.get(name)
        if not layers:
            continue
        without = replace(recipe, **{name: nothing[name]})
        if _ever_trained(backbone, phases_of, recipe) == _ever_trained(
            backbone, phases_of, without
        ):
            option = f"--{name.replace('_', '-')}"
            shown = layers if isinstance(layers, str) else ", ".join(layers)
            raise UsageError(
                f"{option} {shown} has no effect: with the strategy {recipe.strategy!r} the same "
                "parameters train without it",
                hint=f"Remove {option}, or name other layers; 'zoo show' lists the stages.",
            )


def _ever_trained(
    backbone: Backbone, phases_of: MakePhases, recipe: Recipe
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Trained parameters, and modules in training mode, at the start and end of each phase."""
    found = []
    with torch.random.fork_rng():  # adapters are initialised randomly
        for phase in phases_of(recipe):
            for done in (0.0, 1.0) if phase.gradual else (0.0,):
                choose_trained(backbone, phase, recipe, done=done)
                backbone.train()
                at_work = [path for path, module in backbone.net.named_modules() if module.training]
                found.append((trained_names(backbone), at_work))
                adapters.remove(backbone)
    return found


def _frozen_until(backbone: Backbone, phase: Phase, done: float) -> str | None:
    """The last frozen stage after a share ``done`` of the phase's steps.

    A gradual phase starts with only the last stage unfrozen; after half of its steps all are.
    """
    if not phase.gradual:
        return phase.freeze_until
    names = [stage.name for stage in backbone.stages()]
    frozen = len(names) - _unfrozen(names, phase, done)
    return names[frozen - 1] if frozen else None


def _unfrozen(names: Sequence[str], phase: Phase, done: float) -> int:
    """How many of the stages ``names`` train in a gradual phase."""
    can_unfreeze = len(names) - (names.index(phase.freeze_until) + 1 if phase.freeze_until else 0)
    return min(can_unfreeze, 1 + int(2 * done * (can_unfreeze - 1) + 1e-9))


def same_until(backbone: Backbone, phase: Phase, number: int, total: int) -> int:
    """The first of ``total`` steps after ``number`` that trains more stages, or ``total``."""
    if not phase.gradual:
        return total
    names = [stage.name for stage in backbone.stages()]
    now = _unfrozen(names, phase, number / max(1, total))
    after = range(number, total)
    return number + bisect_right(after, now, key=lambda n: _unfrozen(names, phase, n / total))
