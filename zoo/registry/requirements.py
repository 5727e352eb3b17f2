"""The plugins that a run uses, as recorded in ``run.json``, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zoo.contract.modalities import registered
from zoo.contract.spec import BackboneSpec
from zoo.errors import RunError
from zoo.registry.discovery import PluginSource
from zoo.registry.offers import Offer

Requirements = dict[str, dict[str, Any]]
"""By plugin: ``distribution``, ``version``, and what it is needed for: ``opening``, ``training``."""


def requirements(
    sources: Mapping[str, PluginSource], spec: BackboneSpec, used: Iterable[Offer[Any]]
) -> Requirements:
    """Return the plugins that a fine-tune uses.

    Args:
        sources: Installed plugins by name.
        spec: The backbone.
        used: The head, strategy and other things in use.
    """
    needed: Requirements = {}

    def add(plugin: str, purpose: str, thing: str) -> None:
        if plugin in sources:
            source = sources[plugin]
            known = {"distribution": source.distribution, "version": source.version}
            entry = needed.setdefault(plugin, {**known, "opening": [], "training": []})
            entry[purpose].append(thing)

    add(spec.plugin, "opening", f"backbone {spec.name!r}")
    modality = registered().get(spec.modality)
    if modality is not None and modality.plugin:
        add(modality.plugin, "opening", f"modality {modality.name!r}")
    for offer in used:
        add(offer.plugin, "training" if offer.kind.training_only else "opening", str(offer))
    return needed


def versions_of(needed: Requirements) -> dict[str, str]:
    """Return the versions of the distributions in a record, by distribution."""
    return {entry["distribution"] or name: entry["version"] for name, entry in needed.items()}


def requirements_flaw(needed: object) -> str:
    """Return why a value is not :data:`Requirements`; empty if it is."""
    if not isinstance(needed, dict):
        return f"'plugins' must be an object, got {needed!r}"
    for name, entry in needed.items():
        texts = ("distribution", "version")
        lists = ("opening", "training")
        if not (
            isinstance(entry, dict)
            and all(isinstance(entry.get(key), str) for key in texts)
            and all(isinstance(entry.get(key), list) for key in lists)
        ):
            return f"'plugins' must hold {', '.join(texts + lists)} of {name!r}, got {entry!r}"
    return ""


def absent(
    name: str, entry: Mapping[str, Any], things: Iterable[str], what: str, status: str, *, hint: str
) -> RunError:
    """Return the error for a plugin that a run needs and that cannot be used.

    Args:
        name: The plugin.
        entry: Its entry in the record.
        things: What it is needed for.
        what: The run.
        status: Why it cannot be used: ``is not installed``.
        hint: What to do.
    """
    version = f"{entry['distribution']} {entry['version']}".strip()
    return RunError(
        f"{what} needs the plugin {name!r}{f' ({version})' if version else ''} for the "
        f"{', '.join(map(str, things))}; "
        f"it {status}",
        hint=hint,
    )


def install(entry: Mapping[str, Any]) -> str:
    """Return the command that installs a plugin."""
    if not entry["distribution"]:
        return "Install the plugin; 'zoo plugins' lists the installed ones."
    return f"Install it: pip install {entry['distribution']}=={entry['version']}"
