"""Guard against decompression bombs in Parquet files, a few rows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 1000
"""Rows read at a time."""

_ALWAYS = 2**30  # bytes in memory allowed for any file
_FACTOR = 100  # allowed expansion beyond that: texts compress to a tenth, labels to a hundredth
_OVERHEAD = 16  # bytes of overhead per text
_WIDTHS = {"BYTE_ARRAY": _OVERHEAD, "BOOLEAN": 1, "INT32": 4, "FLOAT": 4}


class Expands(Exception):
    """A Parquet file that expands too much in memory; ``size`` is the lower bound found."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it expands to {size:,} bytes or more, far beyond its size on disk")
        self.size = size


def refuse_expansion(path: Path) -> None:
    """Raise a :class:`DataError` if a Parquet file expands too much in memory."""
    try:
        check_expansion(path, _ALWAYS)
    except Expands as error:
        raise DataError(
            f"{path} has {path.stat().st_size:,} bytes but would expand to more than "
            f"{error.size:,} in memory",
            hint="If that is intended, save the table as CSV or JSON lines.",
        ) from error


def check_expansion(path: Path, always: int) -> None:
    """Raise :class:`Expands` if a Parquet file takes more than ``always`` bytes in memory, and more
    than 100 times its size on disk.

    The file's metadata gives only a lower bound, since a value repeated a million times may be
    stored once. So the row groups are then read with repeated values kept as dictionaries.

    Raises:
        ArrowException, OSError: The file is not Parquet, or is damaged.
    """
    import pyarrow.parquet as pq

    limit = max(always, _FACTOR * path.stat().st_size)
    with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as plain:
        claimed = _claimed(plain.metadata)
        texts = [name for name in _leaves(plain) if name]
    if claimed > limit:
        raise Expands(claimed)
    total = 0
    with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
            total += sum(map(_size, batch.columns))
            if total > limit:
                raise Expands(total)


def _claimed(metadata: pq.FileMetaData) -> int:
    """The size of the row groups by the file's metadata, a lower bound."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    values = sum(column.num_values * _WIDTHS.get(column.physical_type, 8) for column in columns)
    return int(max(values, sum(group.total_byte_size for group in groups)))


def _leaves(file: pq.ParquetFile) -> list[str]:
    """The paths of byte-array columns, the only ones that can be read as dictionaries."""
    schema = file.schema
    columns = [schema.column(i) for i in range(len(schema))]
    return [c.path for c in columns if c.physical_type == "BYTE_ARRAY"]


def _size(values: pa.Array) -> int:
    """The bytes of an array without dictionaries."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return int(pc.sum(lengths).as_py() or 0) + _OVERHEAD * len(values)
    if pa.types.is_struct(kind):
        return sum(_size(values.field(i)) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _size(values.keys) + _size(values.items) + _OVERHEAD * len(values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _size(values.flatten()) + _OVERHEAD * len(values)
    return int(values.nbytes)
