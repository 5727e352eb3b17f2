"""Arrow tables of text and numbers, made without pandas.

``pyarrow.array`` imports pandas to find out whether it was given a series, which takes half a
second; arrays made of buffers do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 2**31 - 1
"""Bytes of text in an array with 32-bit offsets."""


def table(columns: Mapping[str, Any]) -> pa.Table:
    """``columns`` by name: arrays of NumPy with one or two axes, lists of text, and of lists of text.

    Anything else goes to ``pyarrow.array``.
    """
    import pyarrow as pa

    arrays = [array(values) for values in columns.values()]
    return pa.Table.from_arrays(arrays, names=list(columns))


def array(values: Any) -> pa.Array:
    """One column of :func:`table`."""
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf" and values.ndim in (1, 2):
        return _numbers(values)
    if isinstance(values, list) and values:
        if all(isinstance(each, str) for each in values):
            return _text(values)
        if all(isinstance(each, list) for each in values):
            flat = [each for some in values for each in some]
            if all(isinstance(each, str) for each in flat):
                return _lists([len(some) for some in values], _text(flat))
    return pa.array(values)


def _numbers(values: np.ndarray[Any, Any]) -> pa.Array:
    import pyarrow as pa

    if values.ndim == 2:
        return _lists([values.shape[1]] * len(values), _numbers(values.reshape(-1)))
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(
        kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )


def _text(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    parts = [value.encode() for value in values]
    content = b"".join(parts)
    if len(content) > _MOST:
        return pa.array(values)
    buffers = [None, _offsets([len(part) for part in parts]), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.string(), len(parts), buffers)


def _lists(lengths: Sequence[int], values: pa.Array) -> pa.Array:
    import pyarrow as pa

    buffers = [None, _offsets(lengths)]
    return pa.Array.from_buffers(pa.list_(values.type), len(lengths), buffers, children=[values])


def _offsets(lengths: Sequence[int]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
