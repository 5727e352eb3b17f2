"""Columns of tables that hold files: paths, encoded bytes, or a feature of ``datasets`` with both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.examined import Flags
from zoo.data.kind import InputKind
from zoo.data.sequences import Column, Indices, Inputs, Paths
from zoo.data.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_PATH = 4096  # bytes


def holds_files_of(kind: InputKind, table: Table, column: str) -> bool:
    """Whether a column holds inputs of a modality, or mostly their paths.

    A feature of ``datasets`` has the modality's name: ``Image``, ``Audio``. Cells that are not
    paths are then reported row by row, rather than the column being taken for texts.
    """
    feature = table.data.features[column]
    if str(getattr(feature, "_type", "")).lower() == kind.name:
        return True
    dtype = str(getattr(feature, "dtype", ""))
    if dtype in ("binary", "large_binary"):
        return True
    if dtype not in ("string", "large_string", "string_view"):
        return False
    cells = _arrow(table, column).slice(0, 100).to_pylist()
    head = [cell.strip() for cell in cells if cell]
    return 2 * sum("\n" not in cell and kind.is_file(cell) for cell in head) > len(head)


def possible_paths(table: Table, column: str) -> Flags:
    """Which rows of a path column hold a possible path: no NUL, and not too long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _arrow(table, column)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return np.ones(len(values), dtype=bool)
    short = pc.less_equal(pc.binary_length(values), _LONGEST_PATH)
    possible = pc.and_(short, pc.invert(pc.match_substring(values, "\0")))
    return np.asarray(pc.fill_null(possible, False).to_numpy(), dtype=bool)


def files_in(table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
    """The files in ``rows`` of a column; relative paths are from the table's folder."""
    (column,) = columns
    values = _arrow(table, column)
    if not str(values.type).endswith("string"):
        return Column(table.data, column, rows, table.title)
    paths = values.take(rows).to_pylist()
    return Paths.under(table.folder, [path.strip() for path in paths])


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)
