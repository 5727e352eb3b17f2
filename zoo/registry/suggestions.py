"""Errors for unknown names, with the closest existing ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping

from zoo.errors import NameLookupError, closest, did_you_mean
from zoo.registry.index import Catalogue
from zoo.registry.run_record import LOCK_FILE


def unknown_plugin(
    plugin: str, plugins: Collection[str], *, resolvers: Iterable[str] = (), name: str = ""
) -> NameLookupError:
    """Return the error for an unknown plugin.

    Args:
        plugin: The unknown name.
        plugins: Names of the installed plugins.
        resolvers: Plugins that accept names outside their catalogues.
        name: The model name in which the plugin was given, if any.
    """
    hint = f"Plugins: {', '.join(sorted(plugins)) or 'none'}. See 'zoo plugins'."
    if name and (longer := " or ".join(f"{each}/{name}" for each in resolvers)):
        hint += f" For a model outside the catalogues, use {longer}."
    guess = did_you_mean(plugin, plugins)
    return NameLookupError(f"no plugin is called {plugin!r}.{guess}", hint=hint)


def run_folder_as_name(name: str, target: str) -> NameLookupError | None:
    """Return the error for a run folder given as a model name; ``None`` if it is not one."""
    if not os.path.isfile(os.path.join(target, LOCK_FILE)):
        return None
    return NameLookupError(
        f"{name!r} is a run folder, not a model name",
        hint=f"To use it as a model: zoo add {name} --name NAME",
    )


def unknown_backbone(
    name: str,
    target: str,
    catalogues: Mapping[str, Catalogue],
    *,
    names: Callable[[], Collection[str]],
    matching: Callable[[str], Collection[str]],
    outdated: Callable[[str], str],
) -> NameLookupError:
    """Return the error for an unknown backbone or weights tag.

    Args:
        name: As given.
        target: The same with short names expanded.
        catalogues: By plugin name; includes that of a plugin named in ``target``.
        names: Returns all short and bare names.
        matching: Returns the canonical names that contain a string.
        outdated: Returns why a plugin's catalogue may lack names.
    """
    plugin, slash, arch = target.partition("/")
    rows = catalogues[plugin].rows if slash else {}
    base, _, tag = arch.rpartition(".")
    if base in rows:
        tags = ", ".join(weights["tag"] for weights in rows[base]["weights"])
        return NameLookupError(
            f"{plugin}/{base} has no weights called {tag!r}",
            hint=f"Available: {tags}." if tags else f"It has no weights; use {plugin}/{base}.",
        )
    near = [f"{plugin}/{hit}" for hit in closest(arch, rows)] if slash else closest(name, names())
    guess = f" Closest: {', '.join(near)}." if near else ""
    stem = (arch or name).rstrip("0123456789")[:8]
    some = f"'zoo list {stem}' lists similar names; " if stem and matching(stem) else ""
    return NameLookupError(
        f"no backbone is called {name!r}.{guess}",
        hint=f"{some}'zoo list --all' lists all.{_reasons(catalogues, plugin if slash else '', outdated)}",
    )


def _reasons(catalogues: Iterable[str], plugin: str, outdated: Callable[[str], str]) -> str:
    """Why a name may be missing from the catalogue of ``plugin``, or of any without one."""
    reasons = {each: outdated(each) for each in ([plugin] if plugin else catalogues)}
    return "".join(f" Plugin {each!r}: {reason}." for each, reason in reasons.items() if reason)
