"""Read table files into memory-mapped rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.readers import ReaderSpec, registered_readers
from zoo.data.reports import Findings
from zoo.data.sources.dialects import Quoting, dialect_of
from zoo.data.sources.expansion import BATCH, refuse_expansion
from zoo.data.sources.readers import as_dataset, reader_of
from zoo.data.sources.split_names import by_split
from zoo.data.sources.table_cache import cached_table, cause
from zoo.data.sources.walk import loose_files
from zoo.data.table import Table
from zoo.errors import DataError
from zoo.system.files import sha256_once

if TYPE_CHECKING:
    import datasets


def looks_like_table(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` has the extension of a table."""
    return reader_of(path) is not None


def find_tables(folder: Path, findings: Findings) -> dict[str, Path]:
    """The tables of a folder by split; a single table, whatever its name, is ``all``.

    So is Hugging Face's ``metadata.*`` if no table is named after a split. Ignored tables are
    noted in ``findings``.

    Raises:
        DataError: Two tables have the same split, or there are several without split names.
    """
    tables = [path for path in loose_files(folder) if looks_like_table(path)]
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
        findings.note(f"ignored tables in {folder}: {', '.join(rest[:8])}")
    return first


def _several(folder: Path, split: str, paths: Sequence[Path]) -> DataError:
    if split != "all":
        return DataError(
            f"{folder} has two tables for the same split: {paths[0].name} and {paths[1].name}",
            hint="Keep one of them, or use the path of one file.",
        )
    return DataError(
        f"{folder} has several tables, and none is called train: "
        f"{', '.join(path.name for path in paths[:10])}",
        hint="Use the path of one file, or name them train.*, val.* and test.*.",
    )


def read_table(path: Path, quoting: Quoting = "auto") -> Table:
    """Read a table by the reader of its suffix; zoo's own give a cached, memory-mapped Arrow file.

    All values of CSV and TSV files are read as text, so that ``007`` keeps its zeros.

    Raises:
        DataError: It cannot be read, or has no rows.
    """
    reader = reader_of(path)
    with quiet():
        try:
            if reader is None:
                raise ValueError(f"no reader supports {path.suffix or 'files without a suffix'}")
            data, note = as_dataset(reader(path, quoting=quoting))
            if not len(data):
                raise _empty(path)
            _check_texts(data, path)
        except DataError:
            raise
        # Each reader raises its own errors (pandas, Arrow, json) in a common wrapper; all of them
        # mean that the file does not have the format of its extension.
        except Exception as error:
            by = f" by the reader {reader.plugin}/{reader.name}" if reader and reader.plugin else ""
            raise DataError(
                f"{path} cannot be read as a table{by}: {cause(error)}",
                hint="Tables are CSV, TSV, JSON lines or Parquet files, or of a plugin's format.",
            ) from error
    return Table(data, str(path), path.parent, note=note)


def read_source(source: str, reader: ReaderSpec) -> dict[str, Table]:
    """The tables of a source with a scheme, such as ``hf:imdb``, by split.

    Raises:
        DataError: It cannot be read, or its splits have other names.
    """
    try:
        given = reader(source)
        if not set(given) <= set(SPLITS):
            raise ValueError(
                f"its splits are {', '.join(map(str, given))}, not {', '.join(SPLITS)}"
            )
        return {split: _titled(each, f"{source} {split}") for split, each in given.items()}
    except DataError:
        raise
    except Exception as error:  # whatever the plugin raises
        raise DataError(
            f"{source} cannot be read by the reader {reader.plugin}/{reader.name}: {cause(error)}",
            hint="Check the name of the data; if it is right, report it to the plugin's author.",
        ) from error


SPLITS = ("train", "val", "test", "all")


def _titled(given: Any, title: str) -> Table:
    if isinstance(given, Table):
        return given
    data, note = as_dataset(given)
    return Table(data, title, Path(), note=note)


def suffixes() -> str:
    """The suffixes of tables, for messages."""
    return ", ".join(key for key in registered_readers() if key.startswith("."))


def _empty(path: Path) -> DataError:
    return DataError(f"{path} has no rows", hint="Add rows, or use another file.")


def read_json(path: Path) -> datasets.Dataset:
    """Read a JSON table, or one with an object per line."""
    digest = _digest(path)
    if path.stat().st_size < 1000 and path.read_bytes().strip() in (b"", b"[]", b"{}"):
        raise _empty(path)  # the reader raises various errors
    return cached_table(path, digest, "json", _read_json)


def read_parquet(path: Path) -> datasets.Dataset:
    """Read a Parquet file."""
    import pyarrow.parquet

    digest = _digest(path)
    if not int(pyarrow.parquet.read_metadata(path).num_rows):
        raise _empty(path)
    refuse_expansion(path)
    return cached_table(path, digest, "parquet", _read_parquet)


def _digest(path: Path) -> str:
    try:
        return sha256_once(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as a table: {error.strerror or error}",
            hint="Tables are CSV, TSV, JSON lines or Parquet files.",
        ) from error


def _read_json(pattern: str, cache: str) -> datasets.Dataset:
    import datasets

    return datasets.Dataset.from_json(pattern, cache_dir=cache)


def _read_parquet(pattern: str, cache: str) -> datasets.Dataset:
    import datasets

    # The reader's default is a whole row group at a time, which may be many gigabytes.
    return datasets.Dataset.from_parquet(pattern, cache_dir=cache, batch_size=BATCH)


def _check_texts(data: datasets.Dataset, path: Path) -> None:
    """Check that all texts are UTF-8, which the JSON and Parquet readers do not.

    Raises:
        DataError: A text is not valid UTF-8.
    """
    import pyarrow as pa

    for name, values in zip(data.data.column_names, data.data.columns, strict=True):
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path} is not encoded in UTF-8: column {name!r}: {cause(error)}",
                hint="Save the table in UTF-8.",
            ) from error


def read_delimited(path: Path, quoting: Quoting = "auto") -> tuple[datasets.Dataset, str]:
    """Read a CSV or TSV file; the note says what was guessed of its dialect."""
    import datasets
    import pandas

    digest, dialect = _digest(path), dialect_of(path, quoting)
    options: dict[str, Any] = {
        "sep": dialect.delimiter,
        "quoting": dialect.quoting,
        "escapechar": dialect.escape or None,
        "encoding": dialect.encoding,
        "keep_default_na": False,
    }
    header = pandas.read_csv(path, nrows=0, **options).columns
    texts = datasets.Features({str(name): datasets.Value("string") for name in header})

    def read(pattern: str, cache: str) -> datasets.Dataset:
        return datasets.Dataset.from_csv(pattern, features=texts, cache_dir=cache, **options)

    return cached_table(path, digest, f"delimited {options}", read), dialect.note


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and logs of ``datasets``; errors are raised anyway."""
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
