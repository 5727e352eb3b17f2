"""Find installed plugins by their entry points, without importing them.

Reading the metadata of every distribution takes longer than everything else in ``zoo list``. The
result is therefore cached until ``sys.path`` or the metadata of a distribution on it changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.system import files
from zoo.system.small_files import read_small

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "zoo.plugins"

_METADATA = {
    ".dist-info": ("", "entry_points.txt", "METADATA"),
    ".egg-info": ("", "entry_points.txt", "PKG-INFO", "requires.txt"),
    ".egg": ("", "EGG-INFO/entry_points.txt", "EGG-INFO/PKG-INFO"),
}
"""Suffixes of metadata folders, and the files in them that list entry points and versions."""


@dataclass(frozen=True)
class PluginSource:
    """An entry point of the group ``zoo.plugins``, not yet imported."""

    name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()


def installed(cache: Path | None = None) -> list[PluginSource]:
    """Return the plugins of all installed distributions, sorted by name.

    Args:
        cache: Cache file; without one, all distributions are read.
    """
    stamp = environment_stamp() if cache else ""
    if not cache or not stamp:
        return _read_environment()
    if (cached := _cached(cache, stamp)) is not None:
        return cached
    found = _read_environment()
    record = {"stamp": stamp, "sources": [asdict(source) for source in found]}
    with contextlib.suppress(OSError):  # the index, written next, warns about the folder
        files.write_text(cache, json.dumps(record))
    return found


def environment_stamp() -> str:
    """Return a hash that changes when a distribution is installed, removed, upgraded or edited.

    Empty if an import hook finds distributions elsewhere, whose changes cannot be detected.
    """
    if any(
        hasattr(f, "find_distributions") and f.__module__ != _FINDER
        for f in map(_class_of, sys.meta_path)
    ):
        return ""
    digest = hashlib.sha256(f"{sys.version}:{sys.prefix}".encode())
    for entry in sys.path:
        for facts in _folder_facts(entry or os.curdir):
            digest.update(facts.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


_FINDER = "_frozen_importlib_external"


def _class_of(finder: object) -> type:
    return finder if isinstance(finder, type) else type(finder)


def _folder_facts(folder: str) -> Iterator[str]:
    """Yield a line per metadata file in a folder; one for an archive.

    The folder's own modification time is not used: unrelated files change it.
    """
    try:
        with os.scandir(folder) as entries:
            metadata = sorted(e.path for e in entries if _suffix(e.name) in _METADATA)
    except NotADirectoryError:
        metadata = [folder]
    except OSError:
        metadata = []
    for path in metadata:
        for name in _METADATA.get(_suffix(path), ("",)):
            with contextlib.suppress(OSError):
                facts = os.stat(os.path.join(path, name) if name else path)
                yield f"{os.path.abspath(path)}/{name}:{facts.st_size}:{facts.st_mtime_ns}\n"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _cached(cache: Path, stamp: str) -> list[PluginSource] | None:
    try:
        record = json.loads(read_small(cache))
        if record["stamp"] != stamp:
            return None
        return [
            PluginSource(**{**row, "requires": tuple(row["requires"])}) for row in record["sources"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_environment() -> list[PluginSource]:
    import importlib.metadata

    found: set[PluginSource] = set()
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        entries = _entries(distribution)
        if not entries:
            continue
        name = distribution.metadata["Name"] or ""
        normalised = name.lower().replace("_", "-").replace(".", "-")
        if normalised in seen:  # shadowed by a copy earlier on sys.path
            continue
        seen.add(normalised)
        found |= {_source(entry, name, distribution) for entry in entries}
    return sorted(found, key=lambda source: (source.name, source.distribution))


def _entries(distribution: Distribution) -> list[EntryPoint]:
    """Return a distribution's plugin entry points; none if its metadata cannot be read."""
    try:
        if GROUP not in (distribution.read_text("entry_points.txt") or ""):
            return []
        return list(distribution.entry_points.select(group=GROUP))
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def _source(entry: EntryPoint, name: str, distribution: Distribution) -> PluginSource:
    return PluginSource(
        name=entry.name,
        value=entry.value,
        distribution=name,
        version=distribution.metadata["Version"] or "",
        requires=tuple(distribution.requires or ()),
    )
