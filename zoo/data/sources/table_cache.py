"""A cache of tables as memory-mapped Arrow files, keyed by content.

The caches of ``datasets`` are keyed by path and modification time, which ``tar``, ``unzip``, ``rsync``
and container layers do not preserve; and its readers treat file names as glob patterns. Here the key is
the content, and a reader gets a plain name in a separate folder.
"""

from __future__ import annotations

import atexit
import errno
import functools
import glob
import hashlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError, first_line
from zoo.system.files import flush, sha256_of
from zoo.system.leftovers import held, remove_abandoned

if TYPE_CHECKING:
    import datasets

_FOLDER = "zoo-tables"

Read = Callable[[str, str], "datasets.Dataset"]
"""Reads a table, given a pattern that matches only its file, and a cache folder."""


def cached_table(path: Path, digest: str, how: str, read: Read) -> datasets.Dataset:
    """The rows of ``path``, from the cache if a table with the same content was read before.

    Args:
        path: The table.
        digest: The sha256 of its content.
        how: Reader settings, as part of the key.
        read: Reads the table if it is not cached.

    Raises:
        DataError: The cache cannot be written, or the file changed while it was read.
    """
    import datasets

    folder = table_folder()
    key = hashlib.sha256(f"{digest}\0{how}\0{datasets.__version__}".encode()).hexdigest()
    place = folder / _FOLDER / key[:40]
    try:
        found = opened_cache(place)
        if found is None:
            fill_cache(place, path, read)
            if sha256_of(path) != digest:
                shutil.rmtree(place, ignore_errors=True)
                raise DataError(f"{path} changed while it was read", hint="Run the command again.")
            found = opened_cache(place)
        assert found is not None
    except Exception as error:
        # The reader's own check for a full disk raises an error without errno.
        if not _is_disk_error(error) and shutil.disk_usage(folder).free:
            raise
        raise DataError(
            f"failed to cache {path} in {folder}: {cause(error)}",
            hint="Free space there, or set HF_DATASETS_CACHE to another folder.",
        ) from error
    return found


def table_folder() -> Path:
    """The cache folder: that of ``datasets``, or a temporary one for this process."""
    import datasets

    return Path(_writable(str(datasets.config.HF_DATASETS_CACHE)))


def cause(error: BaseException) -> str:
    """The first line of an error's root cause."""
    return first_line(_chain(error)[-1])


def opened_cache(place: Path) -> datasets.Dataset | None:
    """The rows cached in ``place``; ``None`` if they are missing or damaged."""
    import datasets
    import pyarrow as pa

    shards = sorted(place.glob("*.arrow"))
    if not shards:
        return None
    try:
        parts = [datasets.Dataset.from_file(str(shard)) for shard in shards]
    except (OSError, ValueError, pa.ArrowException):
        return None
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


_WORK = ".rows-"


def fill_cache(place: Path, path: Path, read: Read) -> None:
    """Read the table and store its rows at ``place`` atomically."""
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(place.parent, [f"{_WORK}*"])
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=_WORK) as name, held(Path(name)):
        work = Path(name)
        link = work / f"table{path.suffix.lower()}"
        link.symlink_to(os.path.abspath(path))
        data = read(glob.escape(str(link)), str(work / "reader"))
        rows = work / "rows"
        rows.mkdir()
        for number, file in enumerate(data.cache_files):
            os.replace(file["filename"], rows / f"{number:05}.arrow")
        del data
        flush(rows)
        shutil.rmtree(place, ignore_errors=True)  # damaged, if it exists
        with suppress(FileExistsError):  # another process was faster
            _rename(rows, place)


def _rename(rows: Path, place: Path) -> None:
    try:
        rows.rename(place)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


@functools.cache
def _writable(cache: str) -> str:
    """``cache``, or a temporary folder for this process if it is not writable."""
    try:
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return cache
    except OSError as error:
        warnings.warn(
            f"cannot cache tables in {cache} ({error.strerror or error}); "
            "every command will read them again",
            stacklevel=2,
        )
    folder = tempfile.mkdtemp(prefix="zoo-tables-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_WORDS = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)


def _is_disk_error(error: BaseException) -> bool:
    """Whether writing failed, rather than reading the table."""
    return any(_number(each) in _FULL for each in _chain(error))


def _number(error: BaseException) -> int | None:
    """The errno of an error; Arrow's errors may have it only in their text."""
    number = getattr(error, "errno", None)
    if number is None and (found := _FULL_IN_WORDS.search(str(error))):
        number = int(found[1])
    return number


def _chain(error: BaseException) -> list[BaseException]:
    """An error and its causes, the root cause last."""
    return list(_links(error))


def _links(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
