"""Find the input and label columns of a table, and read them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zoo.data.flag_columns import columns_of_flags
from zoo.data.kind import InputKind
from zoo.data.labels import Cells, LabelKind, Part
from zoo.data.reports import Findings
from zoo.data.sources.dialects import Quoting
from zoo.data.table import Table
from zoo.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

Names: TypeAlias = tuple[str, ...]
ColumnNames: TypeAlias = str | Sequence[str] | None
"""The name of a column, or of several; ``None`` to detect it."""

LABEL_COLUMNS: Names = (
    "label",
    "labels",
    "class",
    "classes",
    "category",
    "target",
    "sentiment",
    "intent",
    "topic",
)
"""Default names of label columns, in order of preference."""


@dataclass(frozen=True)
class Columns:
    """The columns that the user named; empty to detect them.

    Attributes:
        inputs: The input column, or two for text pairs.
        labels: The label column, or several.
        learned_inputs: The input columns that the run was trained on; preferred when detecting.
        learned_labels: Its label columns, likewise.
        quoting: Quoting of CSV and TSV files.
    """

    inputs: Names = ()
    labels: Names = ()
    learned_inputs: Names = ()
    learned_labels: Names = ()
    quoting: Quoting = "auto"

    @classmethod
    def named(
        cls,
        inputs: ColumnNames = None,
        labels: ColumnNames = None,
        quoting: Quoting | None = None,
    ) -> Columns:
        """From the user's options.

        Raises:
            DataError: A column is named twice, or there are more than two input columns.
        """
        columns = cls(
            _listed(inputs, "--text-column"),
            _listed(labels, "--label-column"),
            quoting=quoting or "auto",
        )
        if len(columns.inputs) > 2:
            raise DataError(
                f"there can be at most 2 input columns, got {len(columns.inputs)}: "
                f"{_quoted(columns.inputs)}",
                hint="Give --text-column once, or twice for text pairs.",
            )
        return columns

    def learned(self, before: Columns) -> Columns:
        """With the columns that a run was trained on as defaults."""
        return replace(self, learned_inputs=before.inputs, learned_labels=before.labels)


NO_COLUMNS = Columns()


def read_part(
    table: Table,
    kind: InputKind,
    columns: Columns,
    findings: Findings,
    *,
    tasks: Sequence[LabelKind] = (),
    labelled: bool = True,
) -> Part:
    """Read the inputs and labels of a table; incomplete rows are left out and reported.

    Raises:
        DataError: A column is missing, or holds another modality.
    """
    labels = _label_columns(table, columns, tasks, demanded=False)
    inputs = _input_columns(table, kind, columns, labels)
    _note_other_columns(table, columns, inputs, findings)
    task = _claiming(tasks, table, labels) if labelled and labels else None
    cells = task.read(table, labels) if task else Cells(None)
    if table.note:
        findings.note(f"{table.title}: {table.note}")
    if cells.note:
        findings.note(f"{table.title}: {cells.note}")
    usable = np.ones(len(table.data), dtype=bool) if table.rows is None else table.rows.copy()
    for row, reason in sorted(cells.faults.items()):
        if usable[row]:
            findings.add(f"{table.title} row {row + 1}", reason)
        usable[row] = False
    filled = usable.copy()
    for column in inputs:
        good = _filled(table, column)
        _report(findings, table, good | ~filled, f"nothing in column {column!r}")
        filled &= good
        good, reason = kind.usable_rows(table, column)
        _report(findings, table, good | ~filled, reason)
        filled &= good
    rows = np.flatnonzero(filled)
    read = kind.inputs_of(table, inputs, rows)
    known = None if cells.labels is None else cells.labels.take(rows)
    if known is not None and table.rows is not None:
        known = known.occurring()
    return Part(
        table.title, read, known, rows=rows, columns=(inputs, labels), task=task, table=table
    )


def path_column(table: Table, kind: InputKind, columns: Columns) -> str | None:
    """The column of file paths that :func:`read_part` would read, if there is one."""
    candidates = columns.inputs or _present(table, kind.column_names, but=columns.labels)
    return next((name for name in candidates if name in table.data.column_names), None)


def require_labels(table: Table, columns: Columns, tasks: Sequence[LabelKind]) -> None:
    """Raise a :class:`DataError` if the table has no label column."""
    _label_columns(table, columns, tasks, demanded=True)


def _listed(given: ColumnNames, option: str) -> Names:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    if len(set(names)) < len(names):
        raise DataError(
            f"{option} names a column twice: {_quoted(names)}", hint="Name each column once."
        )
    return names


def _report(findings: Findings, table: Table, good: np.ndarray[Any, Any], reason: str) -> None:
    for row in np.flatnonzero(~good):
        findings.add(f"{table.title} row {row + 1}", reason)


def _arrow(table: Table, column: str) -> pa.ChunkedArray:
    return table.data.data.column(column)


def _filled(table: Table, column: str) -> np.ndarray[Any, Any]:
    """Which rows are neither null nor blank."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _arrow(table, column)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        length = pc.utf8_length(pc.utf8_trim_whitespace(values))
        return np.asarray(pc.fill_null(pc.greater(length, 0), False).to_numpy(), dtype=bool)
    return np.asarray(pc.is_valid(values).to_numpy(), dtype=bool)


def _claiming(tasks: Sequence[LabelKind], table: Table, columns: Names) -> LabelKind:
    """The first task that claims the columns, or else the last."""
    *others, last = tasks
    return next((task for task in others if task.claims(table, columns)), last)


def _label_columns(
    table: Table, columns: Columns, tasks: Sequence[LabelKind], *, demanded: bool
) -> Names:
    if columns.labels:
        return tuple(_named(table, name, "--label-column") for name in columns.labels)
    if columns.learned_labels and set(columns.learned_labels) <= set(table.data.column_names):
        return columns.learned_labels
    usual = tasks[-1].usual_columns if tasks else LABEL_COLUMNS
    found = _present(table, usual, but=columns.inputs)[:1]
    if not found and demanded:
        raise DataError(
            f"{table.title} has no column of {tasks[-1].labels_noun}; its columns: {_names(table)}",
            hint=_advice(table),
        )
    return tuple(found)


def _advice(table: Table) -> str:
    """How to name the label columns; lists all of them if there seems to be one per label."""
    flags = columns_of_flags(table)
    if len(flags) < 2:
        return "Name the column with --label-column."
    named = " ".join(f"--label-column {shlex.quote(name)}" for name in flags)
    return f"Name the column with --label-column; for one column per label: {named}"


def _input_columns(table: Table, kind: InputKind, columns: Columns, labels: Names) -> Names:
    if len(columns.inputs) > kind.most_columns:
        able = [other.nouns for other in kind.others if other.most_columns >= len(columns.inputs)]
        raise DataError(
            f"the model takes one {kind.noun} per row, but --text-column names two columns: "
            f"{_quoted(columns.inputs)}",
            hint=f"Name one of them, or choose a backbone for {' or '.join(able)}.",
        )
    for name in columns.inputs:
        _check_kind(table, kind, _named(table, name, "--text-column"))
    learned = columns.learned_inputs
    if not columns.inputs and learned and set(learned) <= set(table.data.column_names):
        for name in learned:
            _check_kind(table, kind, name)
        return learned
    return columns.inputs or (_found_input(table, kind, labels),)


def _note_other_columns(table: Table, columns: Columns, inputs: Names, findings: Findings) -> None:
    """Note that the inputs are in another column than the run was trained on."""
    learned = columns.learned_inputs
    if learned and not columns.inputs and inputs != learned:
        findings.note(
            f"{table.title} has no column {_quoted(learned)}, which the run was trained on; "
            f"reading {_quoted(inputs)} instead (change with --text-column)"
        )


def _found_input(table: Table, kind: InputKind, labels: Names) -> str:
    candidates = _present(table, kind.column_names, but=labels)
    rest = [str(name) for name in table.data.column_names if name not in labels]
    for column in [*candidates, *(rest if len(rest) == 1 else ())]:
        if _held(table, kind, column) == kind:
            return str(column)
    for column in candidates:
        _check_kind(table, kind, column)
    for other in kind.others:
        for column in _present(table, other.column_names, but=labels):
            if _held(table, kind, column) is not None:
                _check_kind(table, kind, column)
    pairs = f", twice for {kind.noun} pairs" if kind.most_columns == 2 else ""
    raise DataError(
        f"{table.title} has no column of {kind.in_columns}; its columns: {_names(table)}",
        hint=f"Name the column with --text-column{pairs}. "
        "The first line of a CSV or TSV file must name the columns.",
    )


def _check_kind(table: Table, kind: InputKind, column: str) -> None:
    held = _held(table, kind, column)
    if held == kind:
        return
    if held is None:
        feature = table.data.features[column]
        contents = f"values of type {getattr(feature, 'dtype', '') or type(feature).__name__}"
        hint = f"Name another column with --text-column: {_names(table)}."
    else:
        contents = held.nouns
        hint = f"Choose a backbone for {contents}, or name another column with --text-column."
    raise DataError(
        f"the model takes {kind.nouns}, but column {column!r} of {table.title} holds {contents}",
        hint=hint,
    )


def _held(table: Table, kind: InputKind, column: str) -> InputKind | None:
    """The modality of a column; file paths are not texts, though they could be."""
    kinds = sorted((kind, *kind.others), key=lambda each: not each.in_files)
    return next((each for each in kinds if each.holds(table, column)), None)


def _present(table: Table, names: Sequence[str], *, but: Names) -> list[str]:
    """The columns whose name is one of ``names``, in the order of ``names``."""
    columns = [name for name in table.data.column_names if name not in but]
    by_name = {str(name).strip().lower(): name for name in columns}
    return [by_name[name] for name in names if name in by_name]


def _named(table: Table, name: str, option: str) -> str:
    if name in table.data.column_names:
        return name
    guess = did_you_mean(name, table.data.column_names)
    raise DataError(
        f"{table.title} has no column {name!r}; its columns: {_names(table)}.{guess}",
        hint=f"Name one of them with {option}.",
    )


def _names(table: Table) -> str:
    return _quoted(table.data.column_names[:20])


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
