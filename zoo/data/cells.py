"""Read the label columns of a table: one class, several classes or numbers per row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.data.cell_values import (
    arrow,
    decoded,
    distinct,
    holds,
    is_text,
    refuse_lists,
    text_of,
    values_in,
)
from zoo.data.flag_columns import class_of_flags, flags_in, sets_of_flags, vectors_of_flags
from zoo.data.flags import vectors
from zoo.data.labels import Cells, Labels, LabelSets, Numbers
from zoo.data.table import Table
from zoo.errors import DataError

SEPARATORS = ",;|"
"""Characters that separate the labels in a text cell."""

_SEPARATOR = re.compile(f"[{SEPARATORS}]")
_SEVERAL = "labels"  # the name of a column whose text cells may hold several labels


def split_cell(text: str) -> list[str]:
    """The distinct labels in a text cell: ``a, b``, ``a;b``, ``a|b``, or ``["a", "b"]``.

    An empty cell has none. Labels that contain a separator need the last form, JSON.
    """
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return distinct(listed)
    return distinct(_SEPARATOR.split(text))


def holds_several(table: Table, columns: Sequence[str]) -> bool:
    """Whether rows have several labels.

    They do if cells hold lists, or if the column is called ``labels`` and a cell has several.
    With one column per label they do unless each row has exactly one.
    """
    if len(columns) > 1:
        return not flags_in(table, columns).single.all()
    (column,) = columns
    if holds(list, table, column):
        return True
    if is_text(arrow(table, column)) and vectors(values_in(table, column)) is not None:
        return True
    if column.strip().lower() == _SEVERAL and is_text(arrow(table, column)):
        texts = arrow(table, column).to_pylist()
        return any(text and _SEPARATOR.search(text) for text in texts)
    return False


# -- one class per row -------------------------------------------------------------------------


def read_classes(table: Table, columns: Sequence[str]) -> Cells:
    """Read one class per row: a name in one column, or a 1 in one of several columns.

    Raises:
        DataError: The columns hold something else.
    """
    import datasets

    if len(columns) > 1:
        return class_of_flags(table, columns)
    (column,) = columns
    feature = table.data.features[column]
    refuse_lists(table, column, "label", "or use --task multi-label")
    given = arrow(table, column).combine_chunks()
    encoded = getattr(given, "storage", given).dictionary_encode()  # JSON is text underneath
    indices = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
    values = encoded.dictionary.to_pylist()
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(feature.names)
        lookup = [value if 0 <= value < len(names) else -1 for value in values]
    else:
        texts = [text_of(decoded(value, feature)) for value in values]
        names = tuple(dict.fromkeys(text for text in texts if text))
        place = {name: i for i, name in enumerate(names)}
        lookup = [place.get(text, -1) for text in texts]
    codes = np.array([*lookup, -1], dtype=np.int64)[indices]
    ordered = isinstance(feature, datasets.ClassLabel)
    if not (codes >= 0).any():
        return Cells(None)
    missing = {int(row): f"no label in column {column!r}" for row in np.flatnonzero(codes < 0)}
    return Cells(Labels(names, np.maximum(codes, 0), ordered), missing)


# -- several classes per row -------------------------------------------------------------------


def read_sets(table: Table, columns: Sequence[str]) -> Cells:
    """Read several classes per row: lists, separated text, 0/1 vectors, or one column per class.

    Raises:
        DataError: The columns hold something else.
    """
    if len(columns) > 1:
        return sets_of_flags(table, columns)
    (column,) = columns
    given = _class_names(table.data.features[column])
    flagged = None if given else vectors(values_in(table, column))
    if flagged is not None:
        return vectors_of_flags(table, column, flagged)
    sets = [_set(value, given) for value in values_in(table, column)]
    names = given or tuple(dict.fromkeys(name for labels in sets for name in labels or ()))
    place = {name: i for i, name in enumerate(names)}
    flags = np.zeros((len(sets), len(names)), dtype=np.bool_)
    for row, labels in enumerate(sets):
        flags[row, [place[name] for name in labels or ()]] = True
    if not flags.any():
        return Cells(None)
    reason = f"no label in column {column!r}; write an empty list for a row without labels"
    missing = {row: reason for row, labels in enumerate(sets) if labels is None}
    return Cells(LabelSets(names, flags, ordered=bool(given)), missing)


def _set(value: Any, given: Sequence[str]) -> list[str] | None:
    """The labels of a cell; ``None`` if it is null rather than an empty text or list."""
    if value is None:
        return None
    if given:
        codes = value if isinstance(value, list) else [value]
        return [given[code] for code in codes if 0 <= code < len(given)]
    if isinstance(value, str):
        return split_cell(value)
    return distinct(value if isinstance(value, list) else [value])


def _class_names(feature: Any) -> tuple[str, ...]:
    """The class names of a ``ClassLabel`` feature; empty if it is not one."""
    import datasets

    inner = getattr(feature, "feature", feature)
    return tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else ()


# -- numbers -----------------------------------------------------------------------------------


def read_numbers(table: Table, columns: Sequence[str]) -> Cells:
    """Read one number per column.

    Raises:
        DataError: A column holds something else.
    """
    import pandas

    faults: dict[int, str] = {}
    values = np.empty((len(table.data), len(columns)), dtype=np.float32)
    filled = False
    for place, column in enumerate(columns):
        refuse_lists(table, column, "number")
        given = pandas.Series(values_in(table, column), dtype=object)
        blank = np.array([text_of(value) == "" for value in given])
        read = pandas.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
        with np.errstate(over="ignore"):
            values[:, place] = read
        if np.isnan(read[~blank]).all() and not blank.all():
            shown = ", ".join(repr(str(value)) for value in given[~blank][:3])
            raise DataError(
                f"column {column!r} of {table.title} does not hold numbers: {shown}",
                hint="Name another column with --label-column, or remove --task regression.",
            )
        filled |= not blank.all()
        for row in np.flatnonzero(~np.isfinite(values[:, place])):
            faults.setdefault(int(row), _fault(column, given[row], bool(blank[row]), read[row]))
    return Cells(Numbers(tuple(columns), values), faults) if filled else Cells(None)


def _fault(column: str, given: Any, blank: bool, read: float) -> str:
    if blank:
        return f"no number in column {column!r}"
    why = "not a number" if math.isnan(read) else "not finite, or too large for float32"
    return f"{str(given)[:40]!r} in column {column!r} is {why}"
