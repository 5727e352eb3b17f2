"""The strategy that a user chooses by name, and the phases that it makes, checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from zoo.contract.adapters import AdapterKind
from zoo.engine.recipe import Recipe, Solver
from zoo.engine.strategies import STRATEGIES, STRENGTHS, Phase, Strategy, adapter
from zoo.errors import PluginError, UsageError, did_you_mean
from zoo.registry.offers import Offer, OfferKind, unique
from zoo.registry.registry import Registry
from zoo.weights.adapter_kinds import ADAPTERS
from zoo.weights.find_adapter import ADAPTER

STRATEGY = OfferKind(
    noun="strategy", plural="strategies", hook="zoo_strategies", training_only=True
)


def find_strategy(text: str, registry: Registry) -> ChosenStrategy:
    """The strategy of ``name`` or ``name:argument``: zoo's own, or a plugin's.

    Args:
        text: As given: ``full``, ``acme/slowly``, ``last:2``.
        registry: Plugins to search.

    Raises:
        NameLookupError: There is no such strategy, or several plugins offer it.
        PluginError: Its plugin cannot be used, or it takes other arguments than a strategy must.
        UsageError: It takes no argument, or needs one.
    """
    name, colon, argument = text.partition(":")
    chosen = ChosenStrategy(_offer(name, registry), argument if colon else None)
    chosen.check_argument()
    return chosen


def _offer(name: str, registry: Registry) -> Offer[Strategy]:
    """The strategy of that name; a plugin's kind of adapter is one too."""
    if name in STRATEGIES:
        return registry.offer(STRATEGY, name, STRATEGIES)
    known: list[Offer[Any]] = registry.candidates(STRATEGY, name, STRATEGIES)
    found = unique(STRATEGY, name, [*known, *registry.candidates(ADAPTER, name, {})])
    return _of_adapter(found) if found.kind is ADAPTER else found


def _of_adapter(offer: Offer[AdapterKind]) -> Offer[Strategy]:
    kind = offer.value
    if not isinstance(kind, AdapterKind):
        raise offer.broken(f"its {offer} is {type(kind).__name__}, not a zoo.AdapterKind")
    return Offer(
        kind=ADAPTER, bare=offer.bare, plugin=offer.plugin, given=adapter(offer.name, kind)
    )


@dataclass(frozen=True)
class ChosenStrategy:
    """A strategy and its argument.

    Attributes:
        offer: The strategy, and the plugin that offers it.
        argument: What follows the colon; ``None`` without a colon.
    """

    offer: Offer[Strategy]
    argument: str | None = None

    @property
    def name(self) -> str:
        """The canonical name, with the argument: ``acme/slowly``, ``last:2``."""
        return self.offer.name if self.argument is None else f"{self.offer.name}:{self.argument}"

    def check_argument(self) -> None:
        """Check that the strategy takes the arguments that it will be called with."""
        try:
            parameters = inspect.signature(self.offer.value)
            parameters.bind(None, (), *self._arguments)
        except ValueError:  # without a signature, such as some of C
            return
        except TypeError as error:
            raise self._argument_error(error) from error

    def _argument_error(self, error: TypeError) -> UsageError | PluginError:
        parameters = inspect.signature(self.offer.value)
        for other in ((), ("",)):
            try:
                parameters.bind(None, (), *other)
            except TypeError:
                continue
            wanted = f"{self.offer.name}:…" if other else self.offer.name
            takes = "needs an argument" if other else "takes no argument"
            return UsageError(
                f"the strategy {self.offer.name!r} {takes}, got {self.name!r}",
                hint=f"Write --strategy {wanted}",
            )
        return self.offer.broken(f"its {self.offer} must take (recipe, stages): {error}")

    @property
    def _arguments(self) -> tuple[str, ...]:
        return () if self.argument is None else (self.argument,)

    def phases(self, recipe: Recipe, stages: Sequence[str]) -> Sequence[Phase]:
        """The phases, with the stricter of the strategy's freeze and the user's.

        Args:
            recipe: The hyperparameters; its ``freeze_until`` is one of the stages.
            stages: Names of the backbone's stages, input first.

        Raises:
            PluginError: The strategy fails, or its phases are not valid; names the plugin.
            UsageError: Its argument is not valid.
        """
        made = self._made(recipe, tuple(stages))
        if not made:
            raise self._invalid("it returned no phases")
        names: set[str] = set()
        for phase in made:
            if not isinstance(phase, Phase):
                raise self._invalid(f"it returned {type(phase).__name__}, not zoo.Phase")
            if flaw := _flaw(phase, stages, _solvers(recipe)):
                raise self._invalid(f"phase {phase.name!r}: {flaw}")
            if phase.name in names:
                raise self._invalid(f"two phases are called {phase.name!r}")
            names.add(phase.name)
        return [_stricter(phase, recipe, stages) for phase in made]

    def _made(self, recipe: Recipe, stages: Sequence[str]) -> list[Phase]:
        def make() -> list[Phase]:  # it may be a generator that runs only now
            return list(self.offer.value(recipe, stages, *self._arguments))

        try:
            made: list[Phase] = self.offer.call(make)
        except PluginError as error:
            if self.argument is not None and isinstance(error.__cause__, PluginError):
                cause = error.__cause__.__cause__
                if isinstance(cause, ValueError):
                    raise UsageError(
                        f"--strategy {self.name} is not valid: {cause}",
                        hint=f"The argument is read by the plugin {self.offer.plugin!r}.",
                    ) from error
            raise
        return made

    def _invalid(self, reason: str) -> PluginError:
        return self.offer.broken(f"its {self.offer} is not valid: {reason}")


def _solvers(recipe: Recipe) -> tuple[str, ...]:
    """The solvers that a phase may have."""
    return (*get_args(Solver), *(() if recipe.private is None else ("dp-sgd",)))


def _flaw(phase: Phase, stages: Sequence[str], solvers: Sequence[str]) -> str:
    """Why a phase cannot be trained; empty if it can."""
    if not isinstance(phase.name, str) or not phase.name.strip():
        return "its name must be a string that is not empty"
    if type(phase.epochs) is not int or phase.epochs < 1:
        return f"epochs must be an integer of at least 1, got {phase.epochs!r}"
    for name in ("lr", "layer_decay"):
        value = getattr(phase, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            return f"{name} must be a number greater than 0, got {value!r}"
    if phase.adapter is not None and not isinstance(phase.adapter, AdapterKind):
        return f"adapter must be a zoo.AdapterKind, got {type(phase.adapter).__name__}"
    parameters = (phase.parameters,) if phase.adapter else ("all", *ADAPTERS)
    for name, words in (("parameters", parameters), ("solver", solvers)):
        if (value := getattr(phase, name)) not in words:
            return f"{name} must be one of {', '.join(words)}, got {value!r}"
    if phase.solver == "lbfgs" and phase.trains_backbone:
        return "solver='lbfgs' is for phases with trains_backbone=False"
    if phase.freeze_until is not None and phase.freeze_until not in stages:
        guess = did_you_mean(str(phase.freeze_until), stages)
        return (
            f"the backbone has no stage called {phase.freeze_until!r}.{guess} "
            f"Stages: {', '.join(stages)}"
        )
    return ""


def _stricter(phase: Phase, recipe: Recipe, stages: Sequence[str]) -> Phase:
    """The phase, freezing no less than the user asked for."""
    if phase.solved:
        return replace(phase, epochs=len(STRENGTHS))  # one for each
    if not phase.trains_backbone or recipe.freeze_until is None:
        return phase
    last = max(filter(None, (phase.freeze_until, recipe.freeze_until)), key=list(stages).index)
    return replace(phase, freeze_until=last)
