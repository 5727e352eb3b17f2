"""Read the label columns of a table: one class, several classes or numbers per row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.flags import flag_of, vectors
from zoo.data.labels import Cells, Labels, LabelSets, Numbers, plain_label
from zoo.data.table import Table
from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

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
            return _distinct(listed)
    return _distinct(_SEPARATOR.split(text))


def holds_several(table: Table, columns: Sequence[str]) -> bool:
    """Whether rows have several labels.

    They do if cells hold lists, or if the column is called ``labels`` and a cell has several.
    With one column per label they do unless each row has exactly one.
    """
    if len(columns) > 1:
        return not _flags(table, columns).single.all()
    (column,) = columns
    if _holds(list, table, column):
        return True
    if _is_text(_arrow(table, column)) and vectors(_values(table, column)) is not None:
        return True
    if column.strip().lower() == _SEVERAL and _is_text(_arrow(table, column)):
        texts = _arrow(table, column).to_pylist()
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
        return _class_of_flags(table, columns)
    (column,) = columns
    feature = table.data.features[column]
    _refuse_lists(table, column, "label", "or use --task multi-label")
    given = _arrow(table, column).combine_chunks()
    encoded = getattr(given, "storage", given).dictionary_encode()  # JSON is text underneath
    indices = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
    values = encoded.dictionary.to_pylist()
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(feature.names)
        lookup = [value if 0 <= value < len(names) else -1 for value in values]
    else:
        texts = [_text(_decoded(value, feature)) for value in values]
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
        return _sets_of_flags(table, columns)
    (column,) = columns
    given = _class_names(table.data.features[column])
    flagged = None if given else vectors(_values(table, column))
    if flagged is not None:
        return _vectors_of_flags(table, column, flagged)
    sets = [_set(value, given) for value in _values(table, column)]
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
    return _distinct(value if isinstance(value, list) else [value])


def _class_names(feature: Any) -> tuple[str, ...]:
    """The class names of a ``ClassLabel`` feature; empty if it is not one."""
    import datasets

    inner = getattr(feature, "feature", feature)
    return tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else ()


# -- zeros and ones ----------------------------------------------------------------------------


def _vectors_of_flags(table: Table, column: str, given: NDArray[np.float64]) -> Cells:
    filled = ~np.isnan(given).any(axis=1)
    if not np.isin(given[filled], (0, 1)).all():
        raise DataError(
            f"column {column!r} of {table.title} must hold vectors of 0 and 1, but has other numbers",
            hint="To predict numbers, put each target in its own column and use --task regression.",
        )
    flags, count = given == 1, given.shape[1]
    names = tuple(map(str, range(count)))
    missing = {int(row): f"no label in column {column!r}" for row in np.flatnonzero(~filled)}
    note = (
        f"column {column!r} holds vectors of {count} zeros and ones; the classes are named by "
        f"position, 0 to {count - 1}{_never(names, flags)}"
    )
    return Cells(LabelSets(names, flags, ordered=True), missing, note)


@dataclass(frozen=True)
class _Flags:
    """One column per label: ``has`` is ``(rows, labels)``, and ``faults`` are as in Cells."""

    has: NDArray[np.bool_]
    faults: dict[int, str]

    @property
    def empty(self) -> bool:
        """Whether no row is usable."""
        return len(self.faults) == len(self.has)

    @property
    def single(self) -> NDArray[np.bool_]:
        """Which rows have exactly one label or are unusable: ``(rows,)``."""
        faulty = np.array([row in self.faults for row in range(len(self.has))], dtype=np.bool_)
        one: NDArray[np.bool_] = faulty | (self.has.sum(axis=1) == 1)
        return one


def _flags(table: Table, columns: Sequence[str]) -> _Flags:
    flags = np.zeros((len(table.data), len(columns)), dtype=np.bool_)
    faults: dict[int, str] = {}
    for place, column in enumerate(columns):
        for row, value in enumerate(_values(table, column)):
            flag = flag_of(value)
            if flag is None and _text(value):
                raise DataError(
                    f"column {column!r} of {table.title} must be 0 or 1 in every row, got "
                    f"{str(value)[:40]!r} in row {row + 1}",
                    hint="Name only 0/1 label columns with --label-column, or use --task regression "
                    "to predict numbers.",
                )
            if flag is None:
                faults.setdefault(row, f"no 0 or 1 in column {column!r}")
            flags[row, place] = flag == 1
    return _Flags(flags, faults)


def _sets_of_flags(table: Table, columns: Sequence[str]) -> Cells:
    read, names = _flags(table, columns), tuple(columns)
    if read.empty:
        return Cells(None)
    note = f"the labels are in {len(names)} columns of zeros and ones{_never(names, read.has)}"
    return Cells(LabelSets(names, read.has, ordered=True), read.faults, note)


def _class_of_flags(table: Table, columns: Sequence[str]) -> Cells:
    read, names = _flags(table, columns), tuple(columns)
    if read.empty:
        return Cells(None)
    counts, faults = read.has.sum(axis=1), dict(read.faults)
    for wrong in np.flatnonzero(~read.single).tolist():
        faults[wrong] = f"{counts[wrong]} of {len(names)} labels, expected exactly one"
    note = (
        f"one-hot classes in {len(names)} columns{_never(names, read.has)}; if a row may have "
        "several classes, use --task multi-label"
    )
    return Cells(Labels(names, read.has.argmax(axis=1), ordered=True), faults, note)


def _never(names: Sequence[str], flags: NDArray[np.bool_]) -> str:
    never = [names[place] for place in np.flatnonzero(flags.sum(axis=0) == 0).tolist()]
    return f"; no row has {', '.join(map(repr, never))}" if never else ""


def columns_of_flags(table: Table) -> list[str]:
    """The columns that hold only zeros and ones, and both of them."""
    found = []
    for name in table.data.column_names:
        values = _arrow(table, name).unique().to_pylist()
        flags = {flag_of(value) for value in values if _text(value)}
        if flags == {0.0, 1.0}:
            found.append(str(name))
    return found


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
        _refuse_lists(table, column, "number")
        given = pandas.Series(_values(table, column), dtype=object)
        blank = np.array([_text(value) == "" for value in given])
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


# -- values ------------------------------------------------------------------------------------


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)


def _is_text(values: pa.ChunkedArray) -> bool:
    return str(values.type) in ("string", "large_string", "string_view")


def _holds(kind: type[list[Any]] | type[dict[str, Any]], table: Table, column: str) -> bool:
    """Whether any cell holds a list, or an object."""
    import datasets

    if isinstance(table.data.features[column], datasets.Json):
        return any(isinstance(value, kind) for value in _values(table, column))
    return ("list" if kind is list else "struct") in str(_arrow(table, column).type)


def _refuse_lists(table: Table, column: str, wanted: str, more: str = "") -> None:
    kind = str(_arrow(table, column).type)
    lists = _holds(list, table, column)
    if lists or _holds(dict, table, column):
        plain = "lists" if lists else "objects"
        holds = kind if "list" in kind or "struct" in kind else plain
        raise DataError(
            f"column {column!r} of {table.title} holds {holds}, not one {wanted} per row",
            hint=f"Name another column with --label-column{', ' * bool(more)}{more}.",
        )


def _values(table: Table, column: str) -> list[Any]:
    """The cells as Python values; columns of mixed types in JSON lines are decoded."""
    feature = table.data.features[column]
    inner = getattr(feature, "feature", None)
    values = _arrow(table, column).to_pylist()
    if inner is not None:
        return [v if v is None else [_decoded(item, inner) for item in v] for v in values]
    return [_decoded(value, feature) for value in values]


def _decoded(value: Any, feature: Any) -> Any:
    import datasets

    is_json = isinstance(feature, datasets.Json) and isinstance(value, str)
    return json.loads(value) if is_json else value


def _distinct(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(text for text in map(_text, values) if text))


def _text(value: Any) -> str:
    """A label as the user would write it; empty if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return plain_label(str(value))
