"""The readers of the installed plugins."""

from __future__ import annotations

from zoo.contract.readers import ReaderSpec
from zoo.registry import discovery
from zoo.registry.index import Index
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.plugins import PluginSet
from zoo.registry.policy import load_policy
from zoo.system.paths import cache_folder

READER = OfferKind(noun="reader", plural="readers", hook="zoo_readers", training_only=True)


def discover_readers() -> None:
    """Add the readers of the installed plugins, as the index knows them, to the table."""
    PluginSet(discovery.installed(cache_folder() / "plugins.json"), load_policy(), Index())


def offered(reader: ReaderSpec) -> Offer[ReaderSpec]:
    """A reader as a run records it."""
    return Offer(kind=READER, bare=reader.name, plugin=reader.plugin, given=reader)
