"""The files of the feature cache: listing, describing, checking and removing them.

Features of a split are in ``<name>.npy``, its decoded images in ``<name>.arrow``, and their
description in ``<name>.json``. The code of compiled networks is in a separate folder, which
counts as one file.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zoo.system.files import write_text
from zoo.system.leftovers import remove_abandoned
from zoo.system.small_files import read_small

SUFFIXES = (".npy", ".arrow")


@dataclass(frozen=True)
class FeatureFile:
    """Features, or decoded images, of one split; or all compiled code.

    Attributes:
        path: The array, or the folder.
        facts: Description: ``backbone``, ``precision``, ``data``, ``split``, ``samples`` and
            ``features``, some of which images lack; empty if unknown.
        size: In bytes.
        used: Time of the last use, in seconds since 1970.
    """

    path: Path
    facts: Mapping[str, str | int]
    size: int
    used: float


def describe(path: Path, facts: Mapping[str, str | int]) -> None:
    """Write the description and checksum of the file ``path``, if the folder is writable.

    Without a checksum the file is not used again.
    """
    with suppress(OSError):
        checksum = _checksum(path)
        write_text(path.with_suffix(".json"), json.dumps({**facts, _CHECKSUM: checksum}))
        _verified[path] = _identity(path)


def is_whole(path: Path) -> bool | None:
    """Whether a file matches its checksum; ``None`` if it or the checksum is missing.

    Each process reads a file through once.
    """
    try:
        if _verified.get(path) == _identity(path):
            return True
        recorded = facts_beside(path).get(_CHECKSUM)
        if recorded is None:
            return None
        whole = _checksum(path) == recorded
        if whole:
            _verified[path] = _identity(path)
        return whole
    except OSError:
        return None


_CHECKSUM = "crc32"  # detects damage, not tampering

_verified: dict[Path, tuple[int, int, int]] = {}

_CHUNK = 2**20  # bytes read at a time; fits into a core's cache


def _checksum(path: Path) -> int:
    value, chunk = 0, memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(chunk):
            value = zlib.crc32(chunk[:count], value)
    return value


def _identity(path: Path) -> tuple[int, int, int]:
    """Identifies a file until it is replaced; not its times, which change with every use."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size


def mark_used(path: Path) -> None:
    """Set the modification time of ``path`` to now, if possible."""
    with suppress(OSError):
        os.utime(path)


def feature_files(folder: Path) -> list[FeatureFile]:
    """The cached files, last used first, then by name."""
    found = []
    for path in _arrays(folder, "[!.]*"):
        with suppress(OSError):  # removed meanwhile
            status = path.stat()
            found.append(FeatureFile(path, facts_beside(path), status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (-file.used, file.path.name))


def compiled_code(folder: Path) -> list[FeatureFile]:
    """All compiled code in ``folder`` as one entry; empty if there is none."""
    size, used = 0, 0.0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            status = path.lstat()
            size, used = size + status.st_size, max(used, status.st_mtime)
    return [FeatureFile(folder, {"data": "compiled networks"}, size, used)] if used else []


def examined_files(database: Path) -> list[FeatureFile]:
    """All results of checking datasets, as one entry; empty if there are none."""
    with suppress(OSError):  # there is none, or it was removed meanwhile
        status = database.stat()
        facts = {"data": "checked files"}
        return [FeatureFile(database, facts, status.st_size, status.st_mtime)]
    return []


def remove(files: Iterable[FeatureFile]) -> None:
    """Remove cached files; processes that have them open can still read them."""
    for file in files:
        if file.path.is_dir():
            shutil.rmtree(file.path, ignore_errors=True)
            continue
        for path in (file.path, file.path.with_suffix(".json")):
            path.unlink(missing_ok=True)


def remove_left(folder: Path) -> None:
    """Remove the unfinished files of processes that were killed."""
    remove_abandoned(folder, [f".*{suffix}" for suffix in SUFFIXES])


def _arrays(folder: Path, pattern: str) -> list[Path]:
    return [path for suffix in SUFFIXES for path in folder.glob(pattern + suffix)]


def facts_beside(path: Path) -> Mapping[str, str | int]:
    """The description of ``path`` that :func:`describe` wrote; empty if unknown."""
    with suppress(OSError, ValueError):
        facts = json.loads(read_small(path.with_suffix(".json")))
        if isinstance(facts, dict):
            return facts
    return {}
