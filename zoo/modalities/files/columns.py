"""Columns of tables that hold the paths of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.data.sequences import Indices, Inputs, Paths
from zoo.data.table import Table
from zoo.modalities.image.columns import possible_paths as possible_paths

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def holds_paths(modality: FileFunctions, table: Table, column: str) -> bool:
    """Whether a column holds mostly paths with an ending of the modality."""
    dtype = str(getattr(table.data.features[column], "dtype", ""))
    if dtype not in ("string", "large_string", "string_view"):
        return False
    values = table.data.data.column(column).slice(0, 100).to_pylist()
    head = [value.strip() for value in values if value]
    fitting = [value for value in head if "\n" not in value and modality.is_file(value)]
    return 2 * len(fitting) > len(head)


def files_in(table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
    """The files in ``rows`` of a column; relative paths are from the table's folder."""
    (column,) = columns
    paths = table.data.data.column(column).take(rows).to_pylist()
    return Paths.under(table.folder, [path.strip() for path in paths])
