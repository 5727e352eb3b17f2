"""What the label columns of a table hold: one class, several classes, or numbers a row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zoo.data.labels import AnyLabels, Labels, LabelSets, Numbers, plain_label
from zoo.data.samples import TaskName
from zoo.data.tables import Table
from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Wish = Literal["auto"] | TaskName
"""The task that the user asks for; ``auto`` where the data are to tell."""

SEPARATORS = ",;|"
"""Any of these parts the labels of a cell of text."""

_SEPARATOR = re.compile(f"[{SEPARATORS}]")
_SEVERAL = "labels"  # the name of a column whose cells of text may hold several labels


@dataclass(frozen=True)
class Cells:
    """The labels of all rows of a table.

    Attributes:
        labels: Those without a usable label hold something that means nothing. ``None`` where
            no row has one, as in many published test splits.
        faults: Why rows cannot be used, by their number from 0.
    """

    labels: AnyLabels | None
    faults: Mapping[int, str] = field(default_factory=dict)


def read_cells(table: Table, columns: Sequence[str], task: Wish) -> Cells:
    """The labels in ``columns``.

    Raises:
        DataError: The columns hold something else than the task wants.
    """
    read: dict[TaskName, Callable[[Table, Sequence[str]], Cells]] = {
        "single-label": _single,
        "multi-label": _several,
        "regression": _numbers,
    }
    return read[_task_of(table, columns[0]) if task == "auto" else task](table, columns)


def split_cell(text: str) -> list[str]:
    """The labels in a cell of text, each once: ``a, b``, ``a;b``, ``a|b``, or ``["a", "b"]``.

    A cell of nothing has none. Labels with separators in them need the last form, JSON.
    """
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return _distinct(listed)
    return _distinct(_SEPARATOR.split(text))


def _task_of(table: Table, column: str) -> TaskName:
    """Multi-label where cells hold lists, or the column says ``labels`` and a cell has several."""
    if _holds(list, table, column):
        return "multi-label"
    if column.strip().lower() == _SEVERAL and _is_text(_arrow(table, column)):
        texts = _arrow(table, column).to_pylist()
        if any(text and _SEPARATOR.search(text) for text in texts):
            return "multi-label"
    return "single-label"


# -- one class a row ---------------------------------------------------------------------------


def _single(table: Table, columns: Sequence[str]) -> Cells:
    import datasets

    (column,) = columns
    feature = table.data.features[column]
    _refuse_lists(table, column, "label", "or say that they are several with --task multi-label")
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


# -- several classes a row ---------------------------------------------------------------------


def _several(table: Table, columns: Sequence[str]) -> Cells:
    (column,) = columns
    given = _class_names(table.data.features[column])
    sets = [_set(value, given) for value in _values(table, column)]
    names = given or tuple(dict.fromkeys(name for own in sets for name in own or ()))
    place = {name: i for i, name in enumerate(names)}
    flags = np.zeros((len(sets), len(names)), dtype=np.bool_)
    for row, own in enumerate(sets):
        flags[row, [place[name] for name in own or ()]] = True
    if not flags.any():
        return Cells(None)
    reason = f"no label in column {column!r}; an empty list says that there is none"
    missing = {row: reason for row, own in enumerate(sets) if own is None}
    return Cells(LabelSets(names, flags, ordered=bool(given)), missing)


def _set(value: Any, given: Sequence[str]) -> list[str] | None:
    """The labels of a cell; ``None`` where it holds nothing, not even an empty text or list."""
    if value is None:
        return None
    if given:
        codes = value if isinstance(value, list) else [value]
        return [given[code] for code in codes if 0 <= code < len(given)]
    if isinstance(value, str):
        return split_cell(value)
    return _distinct(value if isinstance(value, list) else [value])


def _class_names(feature: Any) -> tuple[str, ...]:
    """The names that a data set's publisher gives its classes; empty where there are none."""
    import datasets

    inner = getattr(feature, "feature", feature)
    return tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else ()


# -- numbers -----------------------------------------------------------------------------------


def _numbers(table: Table, columns: Sequence[str]) -> Cells:
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
                f"column {column!r} of {table.title} holds no numbers: {shown}",
                hint="Name another column with --label-column, or leave --task regression out.",
            )
        filled |= not blank.all()
        for row in np.flatnonzero(~np.isfinite(values[:, place])):
            faults.setdefault(int(row), _fault(column, given[row], bool(blank[row]), read[row]))
    return Cells(Numbers(tuple(columns), values), faults) if filled else Cells(None)


def _fault(column: str, given: Any, blank: bool, read: float) -> str:
    if blank:
        return f"no number in column {column!r}"
    why = "no number" if math.isnan(read) else "not finite, or too large for float32"
    return f"{str(given)[:40]!r} in column {column!r} is {why}"


# -- values ------------------------------------------------------------------------------------


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)


def _is_text(values: pa.ChunkedArray) -> bool:
    return str(values.type) in ("string", "large_string", "string_view")


def _holds(kind: type[list[Any]] | type[dict[str, Any]], table: Table, column: str) -> bool:
    """Whether cells hold lists, or objects; in JSON lines perhaps only some."""
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
            f"column {column!r} of {table.title} holds {holds}, not one {wanted} a row",
            hint=f"Name another column with --label-column{', ' * bool(more)}{more}.",
        )


def _values(table: Table, column: str) -> list[Any]:
    """The cells as Python values; what JSON lines hold in mixed columns is decoded."""
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
    """A label as the user would write it; empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return plain_label(str(value))
