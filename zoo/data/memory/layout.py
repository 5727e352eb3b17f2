"""The splits of data in memory, and their readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.data.classes import refuse_numeric_labels
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.memory.source import is_path
from zoo.data.memory.tables import LABEL, GivenSplit, given_split
from zoo.data.reports import Findings
from zoo.data.sources.columns import Columns, read_part, require_labels
from zoo.data.sources.split_columns import by_split_column
from zoo.data.sources.split_names import by_split
from zoo.errors import DataError


def given_splits(
    data: Any, kind: InputKind, columns: Columns, findings: Findings
) -> dict[str, GivenSplit | Any]:
    """Data in memory by split, ``all`` if it has none; paths in a mapping stay paths.

    Raises:
        DataError: It cannot be read, or a mapping has other keys than names of splits.
    """
    if isinstance(data, Mapping):
        chosen = _by_split(data)
        return {
            split: each if is_path(each) else given_split(each, kind, _title(each, split))
            for split, each in chosen.items()
        }
    found = given_split(data, kind, _title(data))
    if found.inputs is not None:
        return {"all": found}
    tables = by_split_column(found.table, columns, kind, findings)
    parts = {split: replace(found, table=table) for split, table in tables.items()}
    return parts or {"all": found}


def _title(data: Any, split: str = "") -> str:
    name = type(data).__name__
    return f"{split} {name}" if split else name


def _by_split(data: Mapping[Any, Any]) -> dict[str, Any]:
    names = by_split([key for key in data if isinstance(key, str)])
    double = next((keys for keys in names.values() if len(keys) > 1), None)
    known = {key for keys in names.values() for key in keys}
    rest = [key for key in data if key not in known]
    if double or rest or not data:
        raise DataError(
            f"the keys of a mapping must be names of splits, got {', '.join(map(repr, data))}",
            hint="Use train, val and test. For a mapping of columns, use "
            "datasets.Dataset.from_dict(data).",
        )
    return {split: data[keys[0]] for split, keys in names.items()}


def read_given(
    split: GivenSplit,
    kind: InputKind,
    columns: Columns,
    findings: Findings,
    *,
    labelled: bool,
    tasks: Sequence[LabelKind],
) -> Part:
    """The inputs and labels of a split in memory.

    Raises:
        DataError: It has no labels, and must have; or columns are missing or hold something else.
    """
    if split.note:
        findings.note(split.note)
    if split.columns and not columns.inputs:
        columns = replace(columns, inputs=split.columns)
    if labelled and (split.columns or split.inputs is not None):
        _require_pairs(split)
    if labelled:
        require_labels(split.table, columns, tasks)
    if split.inputs is None:
        part = read_part(split.table, kind, columns, findings, tasks=tasks)
    else:
        part = _read_beside(split, columns, findings, tasks)
    if labelled and len(tasks) > 1:
        refuse_numeric_labels(part)
    return part


def _require_pairs(split: GivenSplit) -> None:
    made = set(split.table.data.column_names) <= {*split.columns, "input"}
    if made:
        raise DataError(
            f"{split.table.title} has no labels",
            hint="Give each input with its label, as a tuple (input, label).",
        )


def _read_beside(
    split: GivenSplit, columns: Columns, findings: Findings, tasks: Sequence[LabelKind]
) -> Part:
    """The labels in the table, and the inputs beside it; rows without a label are reported."""
    assert split.inputs is not None
    table, inputs = split.table, split.inputs
    names = columns.labels or tuple(n for n in (LABEL,) if n in table.data.column_names)
    names = names or _usual(split, tasks)
    if not names:
        return Part(table.title, inputs, None, rows=np.arange(len(inputs)), table=table)
    *others, last = tasks
    task = next((each for each in others if each.claims(table, names)), last)
    cells = task.read(table, names)
    if cells.note:
        findings.note(f"{table.title}: {cells.note}")
    for row, reason in sorted(cells.faults.items()):
        findings.add(inputs.name(row), reason)
    rows = np.array([i for i in range(len(inputs)) if i not in cells.faults], dtype=np.int64)
    known = None if cells.labels is None else cells.labels.take(rows)
    return Part(
        table.title,
        inputs.take(rows),
        known,
        rows=rows,
        columns=((), names),
        task=task,
        table=table,
    )


def _usual(split: GivenSplit, tasks: Sequence[LabelKind]) -> tuple[str, ...]:
    by_name = {str(name).strip().lower(): str(name) for name in split.table.data.column_names}
    usual = tasks[-1].usual_columns if tasks else ()
    return tuple(by_name[name] for name in usual if name in by_name)[:1]
