"""Tables of texts, or of paths of pictures: from files to memory-mapped rows."""

from __future__ import annotations

import atexit
import errno
import functools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.dialects import dialect_of
from zoo.data.reports import Findings
from zoo.data.split_names import by_split
from zoo.errors import DataError

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray

DELIMITED = (".csv", ".tsv", ".tab")
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
SUFFIXES = frozenset(DELIMITED + JSON + PARQUET)


@dataclass(frozen=True)
class Table:
    """A table in memory-mapped form.

    Attributes:
        data: The rows.
        title: How reports call it.
        folder: What paths of pictures in it are relative to.
        rows: ``(N,)``, which of its rows are meant; ``None`` for all.
    """

    data: datasets.Dataset
    title: str
    folder: Path
    rows: NDArray[np.bool_] | None = None


def looks_like_table(path: str | os.PathLike[str]) -> bool:
    """Whether the name of ``path`` is that of a table."""
    return Path(path).suffix.lower() in SUFFIXES


def find_tables(folder: Path, findings: Findings) -> dict[str, Path]:
    """The tables of a folder by split; the only table there, whatever its name, as ``all``.

    Beside pictures that is also ``metadata.*``, as Hugging Face calls it. ``findings`` is told
    which tables are not read.

    Raises:
        DataError: Two tables stand for one split, or none of several is the training split.
    """
    tables = sorted(p for p in folder.iterdir() if looks_like_table(p) and p.name[0] != ".")
    found = by_split(dict.fromkeys(path.stem for path in tables))
    chosen = {
        split: [path for path in tables if path.stem in stems] for split, stems in found.items()
    }
    metadata = [path for path in tables if path.stem.lower() == "metadata"]
    if not chosen and len(tables) > 0:
        chosen = {"all": metadata if len(metadata) == 1 else tables}
    for split, paths in chosen.items():
        if len(paths) > 1:
            raise _several(folder, split, paths)
    first = {split: paths[0] for split, paths in chosen.items()}
    rest = [path.name for path in tables if path not in first.values()]
    if rest:
        findings.note(f"tables in {folder} not read: {', '.join(rest[:8])}")
    return first


def _several(folder: Path, split: str, paths: Sequence[Path]) -> DataError:
    if split != "all":
        return DataError(
            f"{folder} has two tables for one split: {paths[0].name} and {paths[1].name}",
            hint="Keep one of the two, or give one file.",
        )
    return DataError(
        f"{folder} has several tables, and none is called train: "
        f"{', '.join(path.name for path in paths[:10])}",
        hint="Give one of the files, or call them train.*, val.* and test.*.",
    )


def read_table(path: Path) -> Table:
    """Read a table through ``datasets``: kept as an Arrow file in its cache, and memory-mapped.

    All values of CSV and TSV files stay the texts that they are, so that ``007`` keeps its zeros.

    Raises:
        DataError: It cannot be read, or has no rows.
    """
    import datasets

    with quiet():
        try:
            if _has_no_rows(path):
                raise DataError(f"{path} has no rows")
            cache = _writable(str(datasets.config.HF_DATASETS_CACHE))
            if path.suffix.lower() in DELIMITED:
                data = _read_delimited(path, cache)
            elif path.suffix.lower() in JSON:
                data = datasets.Dataset.from_json(str(path), cache_dir=cache)
            else:
                data = datasets.Dataset.from_parquet(str(path), cache_dir=cache)
            _check_texts(data, path)
        except DataError:
            raise
        # Each format's reader has errors of its own (pandas', Arrow's, json's) under a common
        # wrapper; all of them mean that the file is not what its name says.
        except Exception as error:
            if _is_of_the_disk(error):
                raise DataError(
                    f"{path} cannot be kept in {cache}, to be mapped into memory: {_cause(error)}",
                    hint="Make room there, or set HF_DATASETS_CACHE to another folder.",
                ) from error
            raise DataError(
                f"{path} cannot be read as a table: {_cause(error)}",
                hint="Tables are CSV, TSV, JSON lines or Parquet.",
            ) from error
    return Table(data, str(path), path.parent)


def _has_no_rows(path: Path) -> bool:
    """Whether a table that is not delimited has none, of which its readers say many things."""
    import pyarrow.parquet

    if path.suffix.lower() in PARQUET:
        return int(pyarrow.parquet.read_metadata(path).num_rows) == 0
    small = path.suffix.lower() in JSON and path.stat().st_size < 1000
    return small and path.read_bytes().strip() in (b"", b"[]", b"{}")


def _check_texts(data: datasets.Dataset, path: Path) -> None:
    """Demand UTF-8 in every column of texts, which neither JSON's nor Parquet's reader does.

    Raises:
        DataError: A text is encoded otherwise.
    """
    import pyarrow as pa

    for name, values in zip(data.data.column_names, data.data.columns, strict=True):
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path} is not encoded in UTF-8: column {name!r}: {_cause(error)}",
                hint="Save the table in UTF-8.",
            ) from error


@functools.cache
def _writable(cache: str) -> str:
    """``cache`` itself, or where it cannot be written a folder that lasts as long as the process."""
    try:
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return cache
    except OSError as error:
        warnings.warn(
            f"tables cannot be kept in {cache} ({error.strerror or error}); "
            "every command reads them anew",
            stacklevel=2,
        )
    folder = tempfile.mkdtemp(prefix="zoo-tables-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _read_delimited(path: Path, cache: str) -> datasets.Dataset:
    import datasets
    import pandas

    dialect = dialect_of(path)
    options: dict[str, Any] = {
        "sep": dialect.delimiter,
        "quoting": dialect.quoting,
        "encoding": dialect.encoding,
        "keep_default_na": False,
    }
    header = pandas.read_csv(path, nrows=0, **options).columns
    texts = datasets.Features({str(name): datasets.Value("string") for name in header})
    return datasets.Dataset.from_csv(str(path), features=texts, cache_dir=cache, **options)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ``datasets`` from drawing progress bars and logging what is raised anyway."""
    import datasets

    bars = not datasets.are_progress_bars_disabled()
    level = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether what failed is the writing, of which the table is innocent."""
    return getattr(_first(error), "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _cause(error: BaseException) -> str:
    error = _first(error)
    return (str(error).splitlines() or [type(error).__name__])[0]


def _first(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
