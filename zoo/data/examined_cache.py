"""What was found in files that have been read before, so that unchanged ones are not read again.

A file counts as unchanged if its size, inode and both times are the same. One that changed within
:data:`SETTLED` seconds of being read is not kept: a later change could leave its times as they
were, where a file system counts whole seconds.
"""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.data.examined import Examined, Keeps
from zoo.data.sequences import in_memory
from zoo.system.paths import cache_folder

if TYPE_CHECKING:
    from zoo.data.kind import InputKind
    from zoo.data.sequences import Inputs

SETTLED = 2.0
"""Seconds; FAT counts in steps of two."""

_AT_ONCE = 500  # rows of a query; SQLite allows 999 variables

_TABLE = """
CREATE TABLE IF NOT EXISTS examined (
    examiner TEXT, path BLOB, size INTEGER, inode INTEGER, modified INTEGER, changed INTEGER,
    digest BLOB, content BLOB, hash BLOB, traits BLOB, PRIMARY KEY (examiner, path)
) WITHOUT ROWID
"""

_SELECT = "SELECT path, size, inode, modified, changed, digest, content, hash, traits FROM examined"


class _FileState(NamedTuple):
    """What tells whether a file has changed."""

    size: int
    inode: int
    modified: int
    changed: int


class _FoundBytes(NamedTuple):
    """What was found in one file, as bytes."""

    digest: bytes
    content: bytes
    hash: bytes
    traits: bytes


def cache_file() -> Path:
    """The database."""
    return cache_folder() / "examined.sqlite"


def examine(kind: InputKind, inputs: Inputs, keep: Keeps | None = None) -> Examined:
    """Read every input once; files that were read before, and have not changed, are not read.

    Inputs that cannot be read are not kept. Where the cache cannot be written, every input is read.

    Args:
        kind: The modality.
        inputs: The inputs.
        keep: Takes what the inputs that are read are decoded to.
    """
    if not kind.examiner or not len(inputs):
        return _read(kind, inputs, keep)
    began = time.time()
    states = [_state(inputs[index]) for index in range(len(inputs))]
    if not any(states):
        return _read(kind, inputs, keep)
    paths = [_path(inputs[i]) if state else b"" for i, state in enumerate(states)]
    found = _find(kind.examiner, paths, states)
    missing = np.array([i for i in range(len(inputs)) if i not in found], dtype=np.int64)
    fresh = _read(kind, inputs.take(missing), keep)
    rows = dict(zip(missing.tolist(), _rows_of(fresh), strict=True))
    bad = {int(missing[place]): reason for place, reason in fresh.reasons.items()}
    _keep(
        kind.examiner,
        [
            (paths[index], state, row)
            for index, row in rows.items()
            if index not in bad and (state := states[index]) and _settled(state, began)
        ],
    )
    both = found | rows
    return _joined([both[index] for index in range(len(inputs))], fresh, bad)


def _read(kind: InputKind, inputs: Inputs, keep: Keeps | None) -> Examined:
    if keep is None or not len(inputs) or in_memory(inputs):
        return kind.examine(inputs)
    with keep.during(len(inputs)):
        return kind.examine(inputs, keep)


def _state(raw: Any) -> _FileState | None:
    """The state of a regular file; ``None`` for anything else."""
    if not isinstance(raw, str):
        return None
    with suppress(OSError, ValueError):
        seen = os.stat(raw)
        return _FileState(seen.st_size, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)
    return None


def _path(raw: str) -> bytes:
    return os.fsencode(os.path.abspath(raw))


def _settled(state: _FileState, began: float) -> bool:
    return max(state.modified, state.changed) / 1e9 < began - SETTLED


def _rows_of(found: Examined) -> Iterator[_FoundBytes]:
    for index, digest in enumerate(found.digests):
        hashes, traits = (
            b"" if each is None else each[index].tobytes() for each in (found.hashes, found.traits)
        )
        yield _FoundBytes(digest, found.contents[index].tobytes(), hashes, traits)


def _joined(rows: Sequence[_FoundBytes], like: Examined, reasons: dict[int, str]) -> Examined:
    """The rows as arrays, of the same types as those of ``like``."""
    hashes = None
    if like.hashes is not None:
        flat = np.frombuffer(b"".join(row.hash for row in rows), dtype=like.hashes.dtype)
        hashes = flat.reshape(len(rows), -1)
    traits = None
    if like.traits is not None:
        traits = np.frombuffer(bytearray().join(row.traits for row in rows), like.traits.dtype)
    contents = np.frombuffer(b"".join(row.content for row in rows), dtype=np.uint64)
    return Examined([row.digest for row in rows], contents, hashes, traits, reasons)


def _find(
    examiner: str, paths: Sequence[bytes], states: Sequence[_FileState | None]
) -> dict[int, _FoundBytes]:
    """The rows of unchanged files, by index."""
    known = dict[bytes, tuple[_FileState, _FoundBytes]]()
    unique = sorted({path for path in paths if path})
    with _reported(), closing(_opened()) as database:
        for start in range(0, len(unique), _AT_ONCE):
            some = unique[start : start + _AT_ONCE]
            query = f"{_SELECT} WHERE examiner = ? AND path IN ({','.join('?' * len(some))})"
            for path, *values in database.execute(query, (examiner, *some)):
                known[path] = _FileState(*values[:4]), _FoundBytes(*values[4:])
    return {
        index: known[path][1]
        for index, (path, state) in enumerate(zip(paths, states, strict=True))
        if path in known and known[path][0] == state
    }


def _keep(examiner: str, rows: Sequence[tuple[bytes, _FileState, _FoundBytes]]) -> None:
    if not rows:
        return
    with _reported(), closing(_opened()) as database, database:
        database.executemany(
            "INSERT OR REPLACE INTO examined VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(examiner, path, *state, *row) for path, state, row in rows],
        )


def _opened() -> sqlite3.Connection:
    file = cache_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.is_file():  # a pipe would block
        raise OSError("not a file")
    database = sqlite3.connect(file, timeout=30)
    database.execute(_TABLE)
    os.utime(file)  # 'zoo cache --prune' removes what was not used for longest
    return database


@contextmanager
def _reported() -> Iterator[None]:
    """Warn about a cache that cannot be used, and remove a damaged one: every file is read then."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:  # not writable, full, or long in use
        warnings.warn(
            f"failed to keep the results of checking files in {cache_file()} ({error}); the next "
            "run reads them again",
            stacklevel=2,
        )
    except sqlite3.DatabaseError:
        cache_file().unlink(missing_ok=True)
