"""Named things that plugins offer: heads, strategies and others, each kind through one hook.

A plugin's thing is called ``plugin/name``; the bare name is enough where it is unique. Zoo's own
have no namespace, and take precedence over a plugin's of the same bare name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from zoo.errors import (
    AmbiguousNameError,
    NameLookupError,
    PluginError,
    nearest_word,
)
from zoo.registry.discovery import guarded

Thing = TypeVar("Thing")

HOOKS = (
    *("zoo_heads", "zoo_strategies", "zoo_adapters", "zoo_tasks", "zoo_metrics", "zoo_losses"),
    *("zoo_optimizers", "zoo_augmentations", "zoo_exporters"),
)
"""The hooks whose names the index keeps, for completion."""

NOT_IN_NAMES = "/:, "
"""Characters with a meaning in names: the namespace, an argument, a list."""


@dataclass(frozen=True, kw_only=True)
class OfferKind:
    """A kind of thing that plugins offer by name.

    Attributes:
        noun: What one is called in messages: ``head``.
        plural: What several are called.
        hook: The hook, which returns a mapping from names: ``zoo_heads``.
        training_only: Whether runs that used one can be opened without it.
        holds: The type that the hook's values have.
    """

    noun: str
    plural: str
    hook: str
    training_only: bool = False
    holds: type = object


@dataclass(frozen=True, kw_only=True)
class Offer(Generic[Thing]):
    """A named thing of zoo or of a plugin.

    Attributes:
        kind: Its kind.
        bare: Its name without namespace.
        plugin: The plugin that offers it; empty for zoo's own.
        given: The thing, or a ``module:attribute`` to import it from.
    """

    kind: OfferKind
    bare: str
    plugin: str
    given: Thing | str

    @property
    def name(self) -> str:
        """The canonical name: ``plugin/name``, or the bare name of zoo's own."""
        return f"{self.plugin}/{self.bare}" if self.plugin else self.bare

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.name!r}"

    @cached_property
    def value(self) -> Thing:
        """The thing, imported on first use.

        Raises:
            PluginError: It cannot be imported, or is of another type.
        """
        found: Any = self.given
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self.call(lambda: getattr(importlib.import_module(module), attribute))
        if not isinstance(found, self.kind.holds):
            kind = self.kind.holds.__name__
            raise self.broken(f"its {self} is {found!r}, not a {kind}")
        return cast(Thing, found)

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call code of the offering plugin.

        Raises:
            PluginError: It raised an unexpected error; the message names plugin and thing.
            ZooError: The plugin's own error message, passed on unchanged.
        """
        if not self.plugin:
            return function(*arguments, **named)
        try:
            with guarded(f"its {self}"):
                return function(*arguments, **named)
        except PluginError as error:
            raise self.broken(error.message) from error

    def broken(self, reason: str) -> PluginError:
        """Return the error for a thing that does not work; ``reason`` begins with what failed."""
        return PluginError(
            f"the plugin {self.plugin!r} is broken: {reason}",
            hint=f"Report it to the plugin's author, or use another {self.kind.noun}.",
        )


def offers_in(kind: OfferKind, plugin: str, answer: object) -> dict[str, Offer[Any]]:
    """Return what a plugin answered to the hook of ``kind``, by bare name.

    Raises:
        PluginError: It is not a mapping from valid names.
    """
    if answer is None:
        return {}
    if not isinstance(answer, Mapping):
        raise PluginError(f"{kind.hook} returned {type(answer).__name__}, not a mapping")
    for name in answer:
        if not isinstance(name, str) or not name or any(c in NOT_IN_NAMES for c in name):
            raise PluginError(
                f"{kind.hook} returned the name {name!r}; names must be strings without "
                "slash, colon, comma or space"
            )
    return {
        name: Offer(kind=kind, bare=name, plugin=plugin, given=given)
        for name, given in answer.items()
    }


def usable(offers: Iterable[Offer[Thing]]) -> list[Offer[Thing]]:
    """Return those whose thing can be imported and is of the right type."""
    found = []
    for offer in offers:
        with suppress(PluginError):
            offer.value  # noqa: B018 - it is imported here
            found.append(offer)
    return found


def unique(kind: OfferKind, name: str, offers: Iterable[Offer[Any]]) -> Offer[Any]:
    """Return the one offer of that bare or canonical name.

    Raises:
        AmbiguousNameError: Several plugins offer it; the message lists them.
        NameLookupError: None does; the message lists the closest names.
    """
    known = list(offers)
    found = [offer for offer in known if name in (offer.name, offer.bare)]
    built_in = [offer for offer in found if not offer.plugin]
    if len(chosen := built_in or found) == 1:
        return chosen[0]
    if chosen:
        raise AmbiguousNameError(
            f"the {kind.noun} {name!r} is ambiguous: {', '.join(offer.name for offer in chosen)}",
            hint="Use one of these names.",
        )
    raise unknown(kind, name, known)


def unknown(kind: OfferKind, name: str, known: Iterable[Offer[Any]]) -> NameLookupError:
    """Return the error for a name that nothing has."""
    canonical = {key: offer.name for offer in known for key in (offer.bare, offer.name)}
    near = nearest_word(name, canonical)
    guess = f" Did you mean {canonical[near]!r}?" if near else ""
    names = list(dict.fromkeys(canonical.values()))
    return NameLookupError(
        f"no {kind.noun} is called {name!r}.{guess}",
        hint=f"{kind.plural.capitalize()}: {', '.join(names) or 'none'}.",
    )
