"""Find a kind of adapter by name: a built-in one, or a plugin's."""

from __future__ import annotations

from zoo.contract.adapters import AdapterKind
from zoo.registry.offers import OfferKind
from zoo.registry.registry import Registry
from zoo.weights.adapter_kinds import ADAPTERS

ADAPTER = OfferKind(noun="adapter", plural="adapters", hook="zoo_adapters")


def find_kind(name: str, registry: Registry) -> AdapterKind:
    """The kind of adapter ``name``: built in, or a plugin's.

    Raises:
        NameLookupError: No installed plugin provides it.
        PluginError: Its plugin cannot be used.
    """
    kind: AdapterKind = registry.offer(ADAPTER, name, ADAPTERS).value
    return kind
