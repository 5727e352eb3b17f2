"""Which plugins are installed, as entry points; nothing of them is imported.

Reading the metadata of every distribution takes longer than everything else that ``zoo list``
does, so that the answer is kept in the cache folder, and used as long as no folder of
``sys.path`` and no distribution's metadata in it has changed.
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
"""What ends the name of a distribution's metadata, and which files in it say what it publishes."""


@dataclass(frozen=True)
class PluginSource:
    """An entry point of the group ``zoo.plugins``, before anything of it is imported."""

    name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()


def installed(cache: Path | None = None) -> list[PluginSource]:
    """The plugins of every installed distribution, sorted by name.

    Args:
        cache: The file that keeps the answer; without one, every distribution is read.
    """
    stamp = environment_stamp() if cache else ""
    if not cache or not stamp:
        return _read_environment()
    if (kept := _kept(cache, stamp)) is not None:
        return kept
    found = _read_environment()
    record = {"stamp": stamp, "sources": [asdict(source) for source in found]}
    with contextlib.suppress(OSError):  # the index, written next, says that the folder is amiss
        files.write_text(cache, json.dumps(record))
    return found


def environment_stamp() -> str:
    """Changes when a distribution is installed, removed, upgraded or edited on ``sys.path``.

    Empty where an import hook finds distributions elsewhere, whose changes cannot be seen.
    """
    if any(
        hasattr(f, "find_distributions") and f.__module__ != _FINDER
        for f in map(_kind, sys.meta_path)
    ):
        return ""
    digest = hashlib.sha256(f"{sys.version}:{sys.prefix}".encode())
    for entry in sys.path:
        for facts in _folder_facts(entry or os.curdir):
            digest.update(facts.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


_FINDER = "_frozen_importlib_external"


def _kind(finder: object) -> type:
    return finder if isinstance(finder, type) else type(finder)


def _folder_facts(folder: str) -> Iterator[str]:
    """A line for each file of metadata in the folder; one for the whole of an archive.

    The folder's own time is left out: it changes with files that are none of our business.
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


def _kept(cache: Path, stamp: str) -> list[PluginSource] | None:
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
        plain = name.lower().replace("_", "-").replace(".", "-")
        if plain in seen:  # an older copy, hidden by the one earlier on sys.path
            continue
        seen.add(plain)
        found |= {_source(entry, name, distribution) for entry in entries}
    return sorted(found, key=lambda source: (source.name, source.distribution))


def _entries(distribution: Distribution) -> list[EntryPoint]:
    """The distribution's entry points of the zoo; none where its metadata cannot be read."""
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
