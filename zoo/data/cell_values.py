"""The cells of a table's column as Python values and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.data.labels import plain_label
from zoo.data.table import Table
from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def arrow(table: Table, column: str) -> pa.ChunkedArray:
    """The column as it is stored."""
    return table.data.data.column(column)


def is_text(values: pa.ChunkedArray) -> bool:
    """Whether a column is one of texts."""
    return str(values.type) in ("string", "large_string", "string_view")


def holds(kind: type[list[Any]] | type[dict[str, Any]], table: Table, column: str) -> bool:
    """Whether any cell holds a list, or an object."""
    import datasets

    if isinstance(table.data.features[column], datasets.Json):
        return any(isinstance(value, kind) for value in values_in(table, column))
    return ("list" if kind is list else "struct") in str(arrow(table, column).type)


def refuse_lists(table: Table, column: str, wanted: str, more: str = "") -> None:
    """Raise a :class:`DataError` if cells hold lists or objects.

    Args:
        table: The table.
        column: The name of the column.
        wanted: What a cell must hold.
        more: The end of the hint.
    """
    kind = str(arrow(table, column).type)
    lists = holds(list, table, column)
    if lists or holds(dict, table, column):
        plain = "lists" if lists else "objects"
        found = kind if "list" in kind or "struct" in kind else plain
        raise DataError(
            f"column {column!r} of {table.title} holds {found}, not one {wanted} per row",
            hint=f"Name another column with --label-column{', ' * bool(more)}{more}.",
        )


def values_in(table: Table, column: str) -> list[Any]:
    """The cells as Python values; columns of mixed types in JSON lines are decoded."""
    feature = table.data.features[column]
    inner = getattr(feature, "feature", None)
    values = arrow(table, column).to_pylist()
    if inner is not None:
        return [v if v is None else [decoded(item, inner) for item in v] for v in values]
    return [decoded(value, feature) for value in values]


def decoded(value: Any, feature: Any) -> Any:
    """A cell as a Python value: that of a column of JSON is a text."""
    import datasets

    is_json = isinstance(feature, datasets.Json) and isinstance(value, str)
    return json.loads(value) if is_json else value


def distinct(values: Sequence[Any]) -> list[str]:
    """The labels in a cell, without duplicates and empty ones."""
    return list(dict.fromkeys(text for text in map(text_of, values) if text))


def text_of(value: Any) -> str:
    """A label as the user would write it; empty if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return plain_label(str(value))
