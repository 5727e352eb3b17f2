"""How a backbone is adapted: each strategy turns a recipe into the phases of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.engine.recipe import Recipe, Solver
from zoo.errors import NameLookupError, did_you_mean
from zoo.registry.registry import Registry

Parameters = Literal["all", "bias", "norm", "lora"]


STRENGTHS = (1000.0, 100.0, 10.0, 1.0, 0.1)
"""Strengths of the regularisation that L-BFGS solves a head for, the strongest first: each solution
is where the search for the next one starts, and the validation split chooses among them."""


def strength_of(epoch: int) -> float:
    """The strength of an epoch, from 0, of a phase that solves for the head."""
    return STRENGTHS[epoch % len(STRENGTHS)]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one optimiser.

    Attributes:
        name: How the progress and ``metrics.jsonl`` call it.
        epochs: Passes over the training split.
        lr: Learning rate of the head and of the last stage.
        layer_decay: Factor on it from each stage to the one before.
        trains_backbone: Whether more than the head trains. If not, the features are computed
            once and the head trains on them.
        freeze_until: The last stage that stays frozen although the backbone trains.
        parameters: Which of the backbone's parameters train: ``all``; ``bias``, the biases
            alone; ``norm``, those of normalisation layers alone; ``lora``, matrices of low rank
            beside the frozen ones.
        gradual: Whether the stages unfreeze one after another, from the head down, over the first
            half of the steps; what has unfrozen goes on with its optimiser's state.
        solver: ``adamw``; or for a phase that trains the head alone ``lbfgs``, which solves it to
            convergence, an epoch for each of the strengths in ``STRENGTHS``.
    """

    name: str
    epochs: int
    lr: float
    layer_decay: float = 1.0
    trains_backbone: bool = True
    freeze_until: str | None = None
    parameters: Parameters = "all"
    gradual: bool = False
    solver: Solver = "adamw"

    @property
    def solved(self) -> bool:
        """Whether it takes no steps: each of its epochs solves for the head."""
        return not self.trains_backbone and self.solver == "lbfgs"


Strategy = Callable[[Recipe], Sequence[Phase]]


def probe(recipe: Recipe) -> Sequence[Phase]:
    """The head alone, on features that are computed once."""
    return [
        Phase(
            name="probe",
            epochs=len(STRENGTHS) if recipe.head_solver == "lbfgs" else recipe.probe_epochs,
            lr=recipe.probe_lr,
            trains_backbone=False,
            solver=recipe.head_solver,
        )
    ]


def full(recipe: Recipe) -> Sequence[Phase]:
    """Everything, the earlier stages with smaller learning rates."""
    return [
        Phase(
            name="full",
            epochs=recipe.epochs,
            lr=recipe.lr,
            layer_decay=recipe.layer_decay,
            freeze_until=recipe.freeze_until,
        )
    ]


def two_stage(recipe: Recipe) -> Sequence[Phase]:
    """First the head, then everything from that head on.

    Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. A head that fits
    before the backbone moves spares the pretrained features the damage of its first gradients.
    """
    return [*probe(recipe), *full(recipe)]


def gradual(recipe: Recipe) -> Sequence[Phase]:
    """First the head, then the stages unfreeze from the last to the first.

    Gradual unfreezing: Howard and Ruder 2018, arXiv:1801.06146, who unfreeze a stage an epoch; here
    the stages share the first half of the steps, however many epochs those are.
    """
    (everything,) = full(recipe)
    return [*probe(recipe), replace(everything, name="gradual", gradual=True)]


def bias(recipe: Recipe) -> Sequence[Phase]:
    """The head and the biases: BitFit, Ben Zaken et al. 2022, arXiv:2106.10199."""
    return [_part(recipe, "bias")]


def norm(recipe: Recipe) -> Sequence[Phase]:
    """The head and the parameters of normalisation layers (Frankle et al. 2021, arXiv:2003.00152)."""
    return [_part(recipe, "norm")]


def lora(recipe: Recipe) -> Sequence[Phase]:
    """The head, and matrices of low rank beside the frozen ones: Hu et al. 2022, arXiv:2106.09685.

    They are inserted by PEFT where ``Backbone.adapter_targets`` allows it. The run that is saved
    has them added to the weights that they stand beside, so that it opens like any other.
    """
    return [_part(recipe, "lora")]


def _part(recipe: Recipe, parameters: Parameters) -> Phase:
    return Phase(
        name=parameters,
        epochs=recipe.epochs,
        lr=recipe.lr,
        freeze_until=recipe.freeze_until,
        parameters=parameters,
    )


STRATEGIES: Mapping[str, Strategy] = {
    "probe": probe,
    "full": full,
    "two-stage": two_stage,
    "gradual": gradual,
    "lora": lora,
    "bias": bias,
    "norm": norm,
}


def find_strategy(name: str, registry: Registry) -> Strategy:
    """The strategy ``name``: zoo's own, or a plugin's.

    Raises:
        NameLookupError: Neither has it.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    offered = registry.offers("zoo_strategies")
    if name not in offered:
        known = [*STRATEGIES, *offered]
        guess = did_you_mean(name, known)
        raise NameLookupError(
            f"no strategy is called {name!r}.{guess}", hint=f"Strategies: {', '.join(known)}."
        )
    return offered[name]
