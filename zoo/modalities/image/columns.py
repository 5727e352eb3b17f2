"""Image columns of tables: paths, encoded bytes, or the ``Image`` feature of ``datasets``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.examined import Flags
from zoo.data.sequences import Column, Indices, Inputs, Paths
from zoo.data.table import Table
from zoo.modalities.image.reading import looks_like_image

if TYPE_CHECKING:
    import pyarrow as pa

# fmt: off
NAMES = (
    "image", "img", "picture", "photo", "path", "image_path", "img_path", "file_path", "filepath",
    "file", "file_name", "filename", "images",
)
# fmt: on

_LONGEST_PATH = 4096  # bytes


def holds_images(table: Table, column: str) -> bool:
    """Whether a column holds images, or mostly image paths.

    Cells that are not paths are then reported row by row, rather than the column being taken for
    texts.
    """
    import datasets

    feature = table.data.features[column]
    if isinstance(feature, datasets.Image):
        return True
    dtype = str(getattr(feature, "dtype", ""))
    if dtype in ("binary", "large_binary"):
        return True
    if dtype not in ("string", "large_string", "string_view"):
        return False
    head = [value for value in _arrow(table, column).slice(0, 100).to_pylist() if value]
    return 2 * sum(map(_is_path, head)) > len(head)


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


def images_in(table: Table, columns: Sequence[str], rows: Indices) -> Inputs:
    """The images in ``rows`` of a column."""
    import datasets

    (column,) = columns
    if not isinstance(table.data.features[column], datasets.Image):
        values = _arrow(table, column).take(rows)
        if str(values.type).endswith("string"):
            return Paths.under(table.folder, [path.strip() for path in values.to_pylist()])
    return Column(table.data, column, rows, table.title)


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)


def _is_path(value: str) -> bool:
    return looks_like_image(value.strip()) and "\n" not in value.strip()
