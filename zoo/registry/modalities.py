"""The modalities of zoo and of the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.contract.modalities import ModalitySpec, registered
from zoo.registry import discovery
from zoo.registry.index import Index
from zoo.registry.plugins import PluginSet
from zoo.registry.policy import load_policy
from zoo.system.paths import cache_folder


def installed_modalities() -> Mapping[str, ModalitySpec]:
    """All modalities by name, zoo's own first; the plugins come from the index."""
    PluginSet(discovery.installed(cache_folder() / "plugins.json"), load_policy(), Index())
    return registered()


def find_modality(name: str) -> ModalitySpec | None:
    """The modality of a name; ``None`` if neither zoo nor an installed plugin has it."""
    return registered().get(name) or installed_modalities().get(name)
