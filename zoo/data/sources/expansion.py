"""What a Parquet file becomes in memory, found out a few rows at a time before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH = 1000
"""Rows that are read at a time."""

_ALWAYS = 2**30  # bytes that any file may become
_FACTOR = (
    100  # times its size that a larger one may: texts shrink to a tenth, labels to a hundredth
)
_OVERHEAD = 16  # bytes that a text takes beside its own
_WIDTHS = {"BYTE_ARRAY": _OVERHEAD, "BOOLEAN": 1, "INT32": 4, "FLOAT": 4}


class Expands(Exception):
    """A Parquet file that becomes far more than it is; ``size`` is what of it was seen."""

    def __init__(self, size: int) -> None:
        super().__init__(f"its values take {size:,} bytes and more, which no file of its size does")
        self.size = size


def refuse_expansion(path: Path) -> None:
    """Raise a :class:`DataError` where a table becomes far more in memory than the file is large."""
    try:
        check_expansion(path, _ALWAYS)
    except Expands as error:
        raise DataError(
            f"{path} has {path.stat().st_size:,} bytes and would become more than "
            f"{error.size:,} in memory",
            hint="If that is meant, save the table as CSV or JSON lines.",
        ) from error


def check_expansion(path: Path, always: int) -> None:
    """Raise :class:`Expands` where a Parquet file becomes more than ``always`` bytes and than 100
    times its own size.

    What the file says of itself is asked first, and not believed: a value that is repeated a
    million times is in the file once. Its row groups are gone through with such values left once.

    Raises:
        ArrowException, OSError: It is not a Parquet file, or damaged.
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
    """What the file says that its row groups take, which is the least that they do."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    values = sum(column.num_values * _WIDTHS.get(column.physical_type, 8) for column in columns)
    return int(max(values, sum(group.total_byte_size for group in groups)))


def _leaves(file: pq.ParquetFile) -> list[str]:
    """The paths of the columns of bytes, which are the ones that dictionaries can be kept of."""
    schema = file.schema
    columns = [schema.column(i) for i in range(len(schema))]
    return [c.path for c in columns if c.physical_type == "BYTE_ARRAY"]


def _size(values: pa.Array) -> int:
    """What an array takes where every value stands for itself."""
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
