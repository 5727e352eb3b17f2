"""Which reader reads a file or a source, zoo's own or a plugin's."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.readers import ReaderSpec, registered_readers
from zoo.data.sources.walk import loose_files
from zoo.registry.readers import discover_readers

if TYPE_CHECKING:
    import datasets


def reader_of(path: str | os.PathLike[str]) -> ReaderSpec | None:
    """The reader of a file, by its suffix; ``None`` if it has none."""
    return _found(Path(path).suffix.lower())


def reader_of_scheme(source: str) -> ReaderSpec | None:
    """The reader of a source such as ``hf:imdb``; ``None`` if it is a path."""
    scheme, colon, _ = source.partition(":")
    return _found(f"{scheme}:") if colon and scheme.isascii() and len(scheme) > 1 else None


def _found(key: str) -> ReaderSpec | None:
    known = registered_readers()
    if key and key not in known:
        _discover()
    return known.get(key)


@functools.cache
def _discover() -> None:
    """Once, where nothing has asked for the installed plugins before."""
    discover_readers()


def plugin_readers(source: str | None) -> list[ReaderSpec]:
    """The readers of plugins that a source needs: by its scheme, its suffix, or those in a folder."""
    if source is None:
        return []
    found = [reader_of_scheme(source), reader_of(source)]
    if any(each.plugin for each in registered_readers().values()) and os.path.isdir(source):
        found += [reader_of(path) for path in loose_files(Path(source))]
    return [*{each.name: each for each in found if each is not None and each.plugin}.values()]


def as_dataset(given: Any) -> tuple[datasets.Dataset, str]:
    """What a reader returned as rows, and its note.

    Raises:
        TypeError: It is not a table.
    """
    import datasets
    import pandas
    import pyarrow as pa

    note = ""
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], str):
        given, note = given
    if isinstance(given, datasets.Dataset):
        return given, note
    if isinstance(given, pa.Table):
        return datasets.Dataset(given), note
    if isinstance(given, pandas.DataFrame):
        return datasets.Dataset.from_pandas(given, preserve_index=False), note
    if isinstance(given, Mapping):
        return datasets.Dataset.from_dict(dict(given)), note
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return datasets.Dataset.from_list(list(given)), note
    raise TypeError(f"the reader returned {type(given).__name__}, not a table")
