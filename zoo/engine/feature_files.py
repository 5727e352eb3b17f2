"""The files of the feature cache: what each is of, how large, when it was last used; removing some.

Features of a split lie in ``<name>.npy``, its decoded images in ``<name>.arrow``, and what they are
of in ``<name>.json`` beside it. The code of compiled networks lies in a folder of its own, which
counts as one.
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
        facts: What they are of: ``backbone``, ``precision``, ``data``, ``split``, ``samples`` and
            ``features``, of which images lack some; empty where that is not known.
        size: In bytes.
        used: When they were made or last read, in seconds since 1970.
    """

    path: Path
    facts: Mapping[str, str | int]
    size: int
    used: float


def describe(path: Path, facts: Mapping[str, str | int]) -> None:
    """Note what the features in ``path`` are of and their checksum, where that can be written.

    Without a checksum they are not used again.
    """
    with suppress(OSError):
        own = _checksum(path)
        write_text(path.with_suffix(".json"), json.dumps({**facts, _CHECKSUM: own}))
        _verified[path] = _identity(path)


def is_whole(path: Path) -> bool | None:
    """Whether a file holds what was written to it; ``None`` where it is absent or that is not known.

    A file is read through once a process.
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


_CHECKSUM = "crc32"  # among the facts; it is to find damage, not malice

_verified: dict[Path, tuple[int, int, int]] = {}

_CHUNK = 2**20  # bytes that are read at a time, which fit into a core's cache


def _checksum(path: Path) -> int:
    value, chunk = 0, memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(chunk):
            value = zlib.crc32(chunk[:count], value)
    return value


def _identity(path: Path) -> tuple[int, int, int]:
    """Of a file, the same until it is replaced; its times change whenever it is used."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size


def mark_used(path: Path) -> None:
    """Note that ``path`` is used now, where that can be written."""
    with suppress(OSError):
        os.utime(path)


def feature_files(folder: Path) -> list[FeatureFile]:
    """What is cached, the last used first; by name where files were used at the same time."""
    found = []
    for path in _arrays(folder, "[!.]*"):
        with suppress(OSError):  # removed meanwhile
            status = path.stat()
            found.append(FeatureFile(path, facts_beside(path), status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (-file.used, file.path.name))


def compiled_code(folder: Path) -> list[FeatureFile]:
    """All compiled code in ``folder``, as one; nothing if there is none."""
    size, used = 0, 0.0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            status = path.lstat()
            size, used = size + status.st_size, max(used, status.st_mtime)
    return [FeatureFile(folder, {"data": "compiled networks"}, size, used)] if used else []


def remove(files: Iterable[FeatureFile]) -> None:
    """Remove features; a process that is reading some keeps them until it ends."""
    for file in files:
        if file.path.is_dir():
            shutil.rmtree(file.path, ignore_errors=True)
            continue
        for path in (file.path, file.path.with_suffix(".json")):
            path.unlink(missing_ok=True)


def remove_left(folder: Path) -> None:
    """Remove the arrays that processes were writing when they were killed."""
    remove_abandoned(folder, [f".*{suffix}" for suffix in SUFFIXES])


def _arrays(folder: Path, pattern: str) -> list[Path]:
    return [path for suffix in SUFFIXES for path in folder.glob(pattern + suffix)]


def facts_beside(path: Path) -> Mapping[str, str | int]:
    """What :func:`describe` has noted of ``path``; empty where that is not known."""
    with suppress(OSError, ValueError):
        facts = json.loads(read_small(path.with_suffix(".json")))
        if isinstance(facts, dict):
            return facts
    return {}
