"""The built-in strategies: each turns a recipe and the backbone's stages into phases of training."""

# ruff: noqa: ARG001 - every strategy takes the stages, whether or not it needs them

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.contract.adapters import AdapterKind
from zoo.engine.recipe import Recipe, Solver
from zoo.errors import UsageError
from zoo.weights.adapter_kinds import ADAPTERS

STRENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)
"""Regularisation strengths that L-BFGS tries, strongest first; the validation split selects one."""


def strength_of(epoch: int) -> float:
    """The regularisation strength of an epoch, from 0, in a phase with L-BFGS."""
    return STRENGTHS[epoch % len(STRENGTHS)]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one optimiser.

    Attributes:
        name: As in the progress output and ``metrics.jsonl``.
        epochs: Passes over the training split.
        lr: Learning rate of the head and of the last stage.
        layer_decay: Factor on the learning rate from each stage to the one before.
        trains_backbone: Whether more than the head trains; otherwise the head trains on cached
            features.
        freeze_until: Last stage that stays frozen while the backbone trains; the user's
            ``--freeze-until`` may freeze more.
        parameters: Which of the backbone's parameters train: ``all``, or a kind of adapter:
            ``bias``, only biases; ``norm``, only normalisation layers; ``lora``, low-rank matrices
            beside frozen weights; ``dora``; ``ia3``; or a plugin's, which ``adapter`` describes.
        adapter: The kind of adapter of a plugin that ``parameters`` names.
        gradual: Whether the stages unfreeze one after another, from the head down, over the first
            half of the steps; unfrozen stages keep their optimiser state.
        optimizer: The optimiser's name; ``None`` for the one that the user chose.
        solver: ``adamw``, in steps of the optimiser; or, in head-only phases, ``lbfgs``: to convergence, one epoch for each
            of :data:`STRENGTHS`; or ``dp-sgd``: in steps with noise, for differential privacy.
    """

    name: str
    epochs: int
    lr: float
    layer_decay: float = 1.0
    trains_backbone: bool = True
    freeze_until: str | None = None
    parameters: str = "all"
    adapter: AdapterKind | None = None
    gradual: bool = False
    optimizer: str | None = None
    solver: Solver | Literal["dp-sgd"] = "adamw"

    @property
    def kind(self) -> AdapterKind | None:
        """The kind of adapter that it trains; ``None`` if it trains all parameters, or the head."""
        if not self.trains_backbone or self.parameters == "all":
            return None
        return self.adapter or ADAPTERS[self.parameters]

    @property
    def solved(self) -> bool:
        """Whether L-BFGS fits the head, so that there are no optimiser steps."""
        return not self.trains_backbone and self.solver == "lbfgs"

    @property
    def private(self) -> bool:
        """Whether DP-SGD trains the head."""
        return not self.trains_backbone and self.solver == "dp-sgd"


Strategy = Callable[..., Iterable[Phase]]
"""From ``(recipe, stages)`` to phases, where ``stages`` are the names of the backbone's stages, input
first. One with a third parameter takes an argument: ``--strategy last:2``."""

MakePhases = Callable[[Recipe], Sequence[Phase]]
"""A strategy for one backbone: from hyperparameters to phases."""


def probe(recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
    """Linear probing: the head alone, on cached features."""
    solver = recipe.head_solver if recipe.private is None else "dp-sgd"
    return [
        Phase(
            name="probe",
            epochs=len(STRENGTHS) if solver == "lbfgs" else recipe.probe_epochs,
            lr=recipe.probe_lr,
            trains_backbone=False,
            solver=solver,
        )
    ]


def full(recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
    """Full fine-tuning, with smaller learning rates for earlier stages."""
    return [
        Phase(
            name="full",
            epochs=recipe.epochs,
            lr=recipe.lr,
            layer_decay=recipe.layer_decay,
        )
    ]


def two_stage(recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
    """First the head, then everything, starting from that head.

    Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. A head that is
    fitted first protects the pretrained features from the large gradients of a random head.
    """
    return [*probe(recipe, stages), *full(recipe, stages)]


def gradual(recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
    """First the head, then the stages unfreeze from the last to the first.

    Gradual unfreezing: Howard and Ruder 2018, arXiv:1801.06146, who unfreeze a stage an epoch; here
    the stages share the first half of the steps, however many epochs those are.
    """
    (everything,) = full(recipe, stages)
    return [*probe(recipe, stages), replace(everything, name="gradual", gradual=True)]


def last(recipe: Recipe, stages: Sequence[str], argument: str = "1") -> Sequence[Phase]:
    """First the head, then the last stages: ``last`` one, ``last:2`` two."""
    if not argument.isdecimal() or not 1 <= int(argument) <= len(stages):
        raise UsageError(
            f"--strategy last:N takes a number of stages from 1 to {len(stages)}, got {argument!r}",
            hint=f"The stages, input first, are: {', '.join(stages)}.",
        )
    (everything,) = full(recipe, stages)
    until = [None, *stages][len(stages) - int(argument)]
    return [*probe(recipe, stages), replace(everything, name="last", freeze_until=until)]


def adapter(name: str, kind: AdapterKind) -> Strategy:
    """The strategy that trains the head and an adapter; see :mod:`zoo.weights.adapter_kinds`."""

    def strategy(recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
        return [
            Phase(
                name=name.rpartition("/")[2],
                epochs=recipe.epochs,
                lr=recipe.lr,
                parameters=name,
                adapter=kind,
            )
        ]

    return strategy


STRATEGIES: Mapping[str, Strategy] = {
    "probe": probe,
    "full": full,
    "two-stage": two_stage,
    "gradual": gradual,
    "last": last,
    **{name: adapter(name, kind) for name, kind in ADAPTERS.items()},
}
