"""Which column of a table holds the inputs and which the labels, and what is in them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zoo.data.labels import Labels, Part
from zoo.data.pictures import looks_like_picture
from zoo.data.reports import Findings
from zoo.data.samples import Column, Indices, Inputs, Paths
from zoo.data.tables import Table
from zoo.errors import DataError, closest
from zoo.spec import Modality

if TYPE_CHECKING:
    import pyarrow as pa

Names: TypeAlias = tuple[str, ...]

# fmt: off
TEXT_COLUMNS: Names = (
    "text", "sentence", "review", "content", "comment", "message", "body", "document", "tweet",
    "utterance", "question", "query", "description", "headline", "title", "input", "texts",
)
PICTURE_COLUMNS: Names = (
    "image", "img", "picture", "photo", "path", "image_path", "img_path", "file_path", "filepath",
    "file", "file_name", "filename", "images",
)
LABEL_COLUMNS: Names = (
    "label", "labels", "class", "classes", "category", "target", "sentiment", "intent", "topic",
)
# fmt: on
"""What columns are called where the user does not say; the first that is there counts."""


@dataclass(frozen=True)
class Columns:
    """The columns that the user named; ``None`` leaves the choice to the lists above."""

    input: str | None = None
    label: str | None = None


def read_part(
    table: Table, modality: Modality, columns: Columns, findings: Findings, *, labelled: bool = True
) -> Part:
    """The inputs and labels of a table; rows without either are left out and reported.

    Raises:
        DataError: A column is missing, or holds something else than this run takes.
    """
    label = _label_column(table, columns, demanded=False)
    column = _input_column(table, modality, columns, label)
    labels, usable = None, np.ones(len(table.data), dtype=bool)
    if labelled and label is not None:
        labels, usable = _labels(table, label)
        if not usable.any():  # as in many published test splits, where -1 stands for all labels
            labels, usable = None, np.ones(len(table.data), dtype=bool)
        _report(findings, table, usable, f"no label in column {label!r}")
    filled = _filled(table, column)
    _report(findings, table, filled | ~usable, f"nothing in column {column!r}")
    rows = np.flatnonzero(usable & filled)
    inputs = _inputs(table, modality, column, rows)
    return Part(table.title, inputs, None if labels is None else labels.take(rows))


def require_labels(table: Table, columns: Columns) -> None:
    """Raise a :class:`DataError` that names the columns if none of them holds labels."""
    _label_column(table, columns, demanded=True)


def _report(findings: Findings, table: Table, good: np.ndarray[Any, Any], reason: str) -> None:
    for row in np.flatnonzero(~good):
        findings.add(f"{table.title} row {row + 1}", reason)


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)


def _filled(table: Table, column: str) -> np.ndarray[Any, Any]:
    """Which rows hold something: not null, and not blank where they hold texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _arrow(table, column)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        length = pc.utf8_length(pc.utf8_trim_whitespace(values))
        return np.asarray(pc.fill_null(pc.greater(length, 0), False).to_numpy(), dtype=bool)
    return np.asarray(pc.is_valid(values).to_numpy(), dtype=bool)


def _inputs(table: Table, modality: Modality, column: str, rows: Indices) -> Inputs:
    import datasets

    if modality == "image" and not isinstance(table.data.features[column], datasets.Image):
        values = _arrow(table, column).take(rows)
        if str(values.type).endswith("string"):
            return Paths.under(table.folder, [path.strip() for path in values.to_pylist()])
    return Column(table.data, column, rows, table.title)


def _labels(table: Table, column: str) -> tuple[Labels, np.ndarray[Any, Any]]:
    """Labels of all rows, and which rows have one; those without carry the index 0."""
    import datasets

    feature = table.data.features[column]
    encoded = _arrow(table, column).combine_chunks()
    if "list" in str(encoded.type) or "struct" in str(encoded.type):
        raise DataError(
            f"column {column!r} of {table.title} holds {encoded.type}, not one label a row",
            hint="Name another column with --label-column.",
        )
    encoded = encoded.dictionary_encode()
    indices = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
    values = encoded.dictionary.to_pylist()
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(feature.names)
        lookup = [value if 0 <= value < len(names) else -1 for value in values]
    else:
        texts = [_label_text(_decoded(value, feature)) for value in values]
        names = tuple(dict.fromkeys(text for text in texts if text))
        place = {name: i for i, name in enumerate(names)}
        lookup = [place.get(text, -1) for text in texts]
    codes = np.array([*lookup, -1], dtype=np.int64)[indices]
    ordered = isinstance(feature, datasets.ClassLabel)
    return Labels(names, np.maximum(codes, 0), ordered), codes >= 0


def _decoded(value: Any, feature: Any) -> Any:
    import datasets

    return json.loads(value) if isinstance(feature, datasets.Json) else value


def _label_text(value: Any) -> str:
    """A label as the user would write it; empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip()


def _label_column(table: Table, columns: Columns, *, demanded: bool) -> str | None:
    if columns.label is not None:
        return _named(table, columns.label, "--label-column")
    found = next(iter(_present(table, LABEL_COLUMNS, but=columns.input)), None)
    if found is None and demanded:
        raise DataError(
            f"{table.title} has no column of labels; its columns: {_names(table)}",
            hint="Name the column with --label-column.",
        )
    return found


def _input_column(table: Table, modality: Modality, columns: Columns, label: str | None) -> str:
    if columns.input is not None:
        column = _named(table, columns.input, "--text-column")
        _check_kind(table, modality, column)
        return column
    own, other = TEXT_COLUMNS, PICTURE_COLUMNS
    if modality == "image":
        own, other = other, own
    candidates = _present(table, own, but=label)
    for column in candidates:
        if _kind(table, column) == modality:
            return column
    others = [name for name in table.data.column_names if name != label]
    if len(others) == 1 and _kind(table, others[0]) == modality:
        return str(others[0])
    for column in [*candidates, *_present(table, other, but=label)]:
        if column in candidates or _kind(table, column) in ("image", "text"):
            _check_kind(table, modality, column)
    what = "texts" if modality == "text" else "paths of pictures"
    raise DataError(
        f"{table.title} has no column of {what}; its columns: {_names(table)}",
        hint="Name the column with --text-column. The first line of a table names its columns.",
    )


def _check_kind(table: Table, modality: Modality, column: str) -> None:
    kind = _kind(table, column)
    if kind == modality:
        return
    holds = {"image": "pictures", "text": "texts"}.get(kind, kind)
    takes = "texts" if modality == "text" else "pictures"
    other = "pictures" if modality == "text" else "texts"
    raise DataError(
        f"this run takes {takes}; column {column!r} of {table.title} holds {holds}",
        hint=f"Choose a backbone for {other}, or name another column with --text-column."
        if holds == other
        else f"Name another column with --text-column; there are {_names(table)}.",
    )


def _kind(table: Table, column: str) -> str:
    """``image``, ``text``, or in words what else a column holds."""
    import datasets

    feature = table.data.features[column]
    if isinstance(feature, datasets.Image):
        return "image"
    dtype = str(getattr(feature, "dtype", ""))
    if dtype in ("binary", "large_binary"):
        return "image"
    if dtype not in ("string", "large_string", "string_view"):
        return f"values of type {dtype or type(feature).__name__}"
    head = [value for value in _arrow(table, column).slice(0, 100).to_pylist() if value]
    return "image" if head and all(_is_picture_path(value) for value in head) else "text"


def _is_picture_path(value: str) -> bool:
    return looks_like_picture(value.strip()) and "\n" not in value.strip()


def _present(table: Table, names: Sequence[str], *, but: str | None) -> list[str]:
    """The columns that are called like one of ``names``, in the order of ``names``."""
    there = {str(name).strip().lower(): name for name in table.data.column_names if name != but}
    return [there[name] for name in names if name in there]


def _named(table: Table, name: str, option: str) -> str:
    if name in table.data.column_names:
        return name
    near = closest(name, table.data.column_names, 1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise DataError(
        f"{table.title} has no column {name!r}; its columns: {_names(table)}.{guess}",
        hint=f"Name one of them with {option}.",
    )


def _names(table: Table) -> str:
    return ", ".join(repr(name) for name in table.data.column_names[:20])
