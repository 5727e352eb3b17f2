"""Modalities, one folder each: reading, augmenting, collating, rendering. Start at modality.py.

Zoo's own modalities and those of plugins are rows of one table, :mod:`zoo.contract.modalities`; the
implementation of a row is imported when it is first needed.
"""

from __future__ import annotations

import warnings
from functools import cache

from zoo.contract.modalities import ModalitySpec, registered
from zoo.contract.spec import BackboneSpec
from zoo.errors import ContractError, PluginError, ZooError
from zoo.modalities.image.modality import IMAGE
from zoo.modalities.modality import Modality
from zoo.modalities.text.modality import TEXT
from zoo.registry.discovery import guarded
from zoo.registry.modalities import find_modality, installed_modalities


def modality_of(spec: BackboneSpec) -> Modality:
    """The modality of a backbone's inputs.

    Raises:
        ContractError: There is no such modality.
        PluginError: It is a plugin's, and cannot be imported.
    """
    return modality_named(spec.modality)


def modality_named(name: str) -> Modality:
    """The modality of that name; raises the same errors as :func:`modality_of`."""
    found = find_modality(name)
    if found is None:
        raise ContractError(
            f"no modality is called {name!r}",
            hint=f"Modalities: {', '.join(installed_modalities())}.",
        )
    return _imported(found)


def all_modalities() -> tuple[Modality, ...]:
    """All modalities, in the order of help and tables.

    Modalities of failing plugins are omitted, with a warning.
    """
    installed_modalities()
    return known_modalities()


def known_modalities() -> tuple[Modality, ...]:
    """As :func:`all_modalities`, of the plugins that this process has discovered already."""
    found: list[Modality] = []
    for each in registered().values():
        try:
            found.append(_imported(each))
        except ZooError as error:
            warnings.warn(f"{error.message}; its modality is ignored", stacklevel=2)
    return tuple(found)


@cache
def _imported(spec: ModalitySpec) -> Modality:
    try:
        with guarded(f"importing the modality {spec.name!r}"):
            found: Modality = spec.load("implementation")
            named = found.name
    except PluginError as error:
        raise _broken(spec, error.message) from error
    if named != spec.name:
        raise _broken(spec, f"{spec.implementation} is called {named!r}, not {spec.name!r}")
    return found


def _broken(spec: ModalitySpec, reason: str) -> PluginError:
    return PluginError(
        f"the plugin {spec.plugin!r} is broken: {reason}",
        hint=f"Upgrade or reinstall it, or disable it: [plugins.{spec.plugin}] enabled = false in "
        "registry.toml.",
    )


__all__ = [
    "IMAGE",
    "TEXT",
    "Modality",
    "all_modalities",
    "known_modalities",
    "modality_named",
    "modality_of",
]
