"""Split a table by a split column, or by the folders of its paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.kind import InputKind
from zoo.data.reports import Findings
from zoo.data.sources.columns import Columns, path_column
from zoo.data.sources.split_names import by_split
from zoo.data.table import Table
from zoo.errors import DataError

_SURE = ("split", "splits", "data_split", "dataset_split")
_POSSIBLE = ("set", "subset", "partition")
"""Columns with these names are split columns if all of their values are split names."""


def by_split_column(
    table: Table, columns: Columns, kind: InputKind, findings: Findings
) -> dict[str, Table]:
    """The table once per split, with the rows of that split; empty if it has no splits.

    Raises:
        DataError: A column ``split`` has values that are not split names.
    """
    found = _split_column(table, columns)
    if found is not None:
        name, values = found
        for row in np.flatnonzero([not value for value in values]):
            findings.add(f"{table.title} row {row + 1}", f"nothing in column {name!r}")
        splits = _splits(values)
        how = f"by its column {name!r}"
    else:
        values = _first_folders(table, kind, columns) if kind.in_files else []
        splits = _splits(values)
        how = "by the folders of its paths"
        if len(splits) < 2 or "train" not in splits:
            return {}
    counts = ", ".join(f"{split} {int(rows.sum()):,}" for split, rows in splits.items())
    findings.note(f"{table.title} split {how}: {counts}")
    return {split: replace(table, rows=rows) for split, rows in splits.items()}


def refuse_other_splits(table: Table, columns: Columns, split: str) -> None:
    """Raise a :class:`DataError` if the table of one split holds rows of others."""
    found = _split_column(table, columns)
    if found is None:
        return
    others = [name for name in _splits(found[1]) if name != split]
    if others:
        raise DataError(
            f"{table.title} is the {split} split by its name, but its column {found[0]!r} has "
            f"rows of {' and '.join(others)}",
            hint=f"Use --data {table.title} alone, or remove the column.",
        )


def _split_column(table: Table, columns: Columns) -> tuple[str, list[str]] | None:
    """The split column and its values, if there is one."""
    for name in table.data.column_names:
        plain = str(name).strip().lower().replace(" ", "_").replace("-", "_")
        if plain not in _SURE + _POSSIBLE or name in (*columns.inputs, *columns.labels):
            continue
        values = _texts(table, name)
        distinct = {value for value in values if value}
        known = {value for names in by_split(distinct).values() for value in names}
        if not known or (plain in _POSSIBLE and distinct != known):
            continue
        if distinct != known:
            unknown = ", ".join(map(repr, sorted(distinct - known)[:5]))
            raise DataError(
                f"the split column {name!r} of {table.title} has values that are not names of splits: {unknown}",
                hint="Name the splits train, val and test, or rename the column.",
            )
        return str(name), values
    return None


def _texts(table: Table, name: str) -> list[str]:
    values = table.data.data.column(name)
    if not str(values.type).endswith("string"):
        return []
    return [(value or "").strip() for value in values.to_pylist()]


def _splits(values: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """The rows of each split, from the split name of every row."""
    given: NDArray[Any] = np.array(values, dtype=object)
    names: Mapping[str, list[str]] = by_split({value for value in values if value})
    order = [split for split in ("train", "val", "test") if split in names]
    return {split: np.isin(given, names[split]) for split in order}


def _first_folders(table: Table, kind: InputKind, columns: Columns) -> list[str]:
    """The first folder of each path; empty unless all of them are split names."""
    name = path_column(table, kind, columns)
    if name is None:
        return []
    paths = [value.replace("\\", "/").removeprefix("./") for value in _texts(table, name)]
    folders = [path.partition("/")[0] if "/" in path else "" for path in paths]
    named = {value for names in by_split(set(folders) - {""}).values() for value in names}
    return folders if set(folders) == named else []
