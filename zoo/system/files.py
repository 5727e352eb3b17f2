"""Atomic writes, safe reads and hashes of files."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

_RACY = 2.0  # seconds: a file may change twice within one tick of its file system's clock
_PIECE = 2**18  # bytes that are read at a time where a file must not be too large


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is flushed and renamed to ``path`` at the end.

    If the block raises, the temporary file is removed and ``path`` does not change.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.urandom(6).hex()}{path.suffix}")
    # tempfile would make the file private to the user, and costs a slow import.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    made = temporary.stat()
    try:
        yield temporary
        if temporary.stat().st_ino != made.st_ino:
            temporary.chmod(made.st_mode)  # safetensors puts a file there that is the user's alone
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def flush(folder: Path) -> None:
    """Flush all files in ``folder`` to disk, before it is renamed."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock ``folder`` against other processes that use this function while the block runs.

    No file is left in the folder. Does nothing on Windows, and on file systems without locks.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def claim(path: Path) -> None:
    """Allocate disk space for all of a file, if the system supports it.

    Otherwise, writing to a memory-mapped file on a full disk would kill the process.

    Raises:
        OSError: There is not enough disk space.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def is_utf8(name: str | os.PathLike[str]) -> bool:
    """Whether a name or text can be encoded as UTF-8, as records and tables are.

    File names may have any bytes; Python decodes invalid UTF-8 in them to lone surrogates.
    """
    try:
        os.fspath(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, completely or not at all.

    Surrogates, from file names that are not valid UTF-8, are written as JSON escapes.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def open_regular(path: str | os.PathLike[str], *, limit: int | None = None) -> BufferedReader:
    """Open a regular file for reading bytes; a named pipe or device is an error, without waiting.

    Args:
        path: The file, or a link to it.
        limit: Maximum size in bytes. The file may grow while it is read; :func:`read_regular`
            enforces the limit.

    Raises:
        OSError: It cannot be opened, is not a regular file (``EINVAL``), or has more than ``limit``
            bytes (``EFBIG``); ``strerror`` says so in words.
    """
    # Looked at before it is opened too: opening alone makes some devices act.
    _require_regular(path, os.stat(path), limit)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _require_regular(path, os.fstat(file.fileno()), limit)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes; errors as for :func:`open_regular`."""
    content = bytearray()
    with open_regular(path, limit=limit) as file:
        # In pieces: Python reserves at once what a single call may read at most.
        while piece := file.read(min(_PIECE, limit + 1 - len(content))):
            content += piece
    if len(content) > limit:
        raise _too_large(path, len(content), limit)
    return bytes(content)


def require_regular(path: str | os.PathLike[str], *, limit: int | None = None) -> None:
    """Make the checks of :func:`open_regular`, for a file that a library opens by its name."""
    open_regular(path, limit=limit).close()


def _require_regular(
    path: str | os.PathLike[str], found: os.stat_result, limit: int | None
) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    if limit is not None and found.st_size > limit:
        raise _too_large(path, found.st_size, limit)


def _too_large(path: str | os.PathLike[str], size: int, limit: int) -> OSError:
    words = f"it has {size:,} bytes, and at most {limit:,} are read"
    return OSError(errno.EFBIG, words, os.fspath(path))


def sha256_of(path: Path) -> str:
    """All 64 hexadecimal digits of a regular file's sha256."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """Like :func:`sha256_of`, but an unchanged file is read only once per process."""
    found = path.stat()
    if time.time() - found.st_ctime < _RACY:
        return sha256_of(path)
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _sha256_of_same(path, identity)


@lru_cache(maxsize=64)
def _sha256_of_same(path: Path, identity: tuple[int, ...]) -> str:  # noqa: ARG001
    return sha256_of(path)
