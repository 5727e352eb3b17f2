"""How a CSV names the samples of a split: files by path below the data, rows of tables by number."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data.labels import Part
from zoo.data.sequences import Paths

FILE, ROW = "file", "row"
"""The columns of a CSV, of which it has one."""


@dataclass(frozen=True)
class SampleKeys:
    """The names of the samples of a split.

    Attributes:
        column: :data:`FILE` or :data:`ROW`.
        keys: By sample: a path, or the number of a row, from 1 without the header.
    """

    column: str
    keys: Sequence[str]


def keys_of(part: Part, source: str) -> SampleKeys:
    """The names of the samples of a split.

    Args:
        part: The split.
        source: The data that the user named; paths are relative to it, or to the table's folder.
    """
    inputs = part.inputs
    if isinstance(inputs, Paths):
        root = folder_of(source)
        names = [inputs.name(i) for i in range(len(inputs))]
        return SampleKeys(FILE, [file_key(name, root) for name in names])
    rows = range(len(inputs)) if part.rows is None else part.rows
    return SampleKeys(ROW, [str(int(row) + 1) for row in rows])


def folder_of(source: str) -> Path:
    """The folder that paths are relative to."""
    path = Path(os.path.abspath(os.path.expanduser(source)))
    return path if path.is_dir() else path.parent


def file_key(name: str, root: Path) -> str:
    """A path relative to ``root`` if it is below it, with ``/`` and valid in UTF-8."""
    path = os.path.normpath(os.path.join(root, os.path.expanduser(name)))
    if Path(path).is_relative_to(root):
        path = os.path.relpath(path, root)
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


def all_rows(part: Part) -> Mapping[str, None]:
    """The numbers of all rows of the split's table, also of those that cannot be used."""
    count = 0 if part.table is None else len(part.table.data)
    return dict.fromkeys(str(row) for row in range(1, count + 1))
