"""Which columns of a table hold the inputs and which the labels, and what the inputs are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zoo.data.cells import columns_of_flags
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
"""A column that the user names, or several; ``None`` leaves the choice to the zoo."""

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
"""What columns of labels are called where the user does not say; the first that is there counts."""


@dataclass(frozen=True)
class Columns:
    """The columns that the user named; where there are none, the lists above choose one.

    Attributes:
        inputs: The column of the inputs, or the two of pairs of texts.
        labels: The column of labels, or those of the numbers to predict.
        learned_inputs: The columns that the run was trained on, whose names go before the lists.
        learned_labels: Likewise.
        quoting: How a table of delimited texts marks those that contain its delimiter.
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
        """From what the user gave.

        Raises:
            DataError: A column is named twice, or more than two are to hold the inputs.
        """
        columns = cls(
            _listed(inputs, "--text-column"),
            _listed(labels, "--label-column"),
            quoting=quoting or "auto",
        )
        if len(columns.inputs) > 2:
            raise DataError(
                f"{len(columns.inputs)} columns of inputs were named: {_quoted(columns.inputs)}",
                hint="Give --text-column once for a column of inputs, or twice for pairs of texts.",
            )
        return columns

    def learned(self, before: Columns) -> Columns:
        """With the columns that a run was trained on, for where the user names none."""
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
    """The inputs and labels of a table; rows without either are left out and reported.

    Raises:
        DataError: A column is missing, or holds something else than this run takes.
    """
    labels = _label_columns(table, columns, tasks, demanded=False)
    inputs = _input_columns(table, kind, columns, labels)
    _tell_of_others(table, columns, inputs, findings)
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
        own = _filled(table, column)
        _report(findings, table, own | ~filled, f"nothing in column {column!r}")
        filled &= own
        own, reason = kind.usable_rows(table, column)
        _report(findings, table, own | ~filled, reason)
        filled &= own
    rows = np.flatnonzero(filled)
    read = kind.inputs_of(table, inputs, rows)
    known = None if cells.labels is None else cells.labels.take(rows)
    if known is not None and table.rows is not None:
        known = known.occurring()
    return Part(table.title, read, known, rows=rows, columns=(inputs, labels), task=task)


def path_column(table: Table, kind: InputKind, columns: Columns) -> str | None:
    """The column of paths of files that :func:`read_part` would read, if there is one."""
    candidates = columns.inputs or _present(table, kind.column_names, but=columns.labels)
    return next((name for name in candidates if name in table.data.column_names), None)


def require_labels(table: Table, columns: Columns, tasks: Sequence[LabelKind]) -> None:
    """Raise a :class:`DataError` that names the columns if none of them holds labels."""
    _label_columns(table, columns, tasks, demanded=True)


def _listed(given: ColumnNames, option: str) -> Names:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    if len(set(names)) < len(names):
        raise DataError(
            f"a column is named twice: {_quoted(names)}", hint=f"Give each {option} once."
        )
    return names


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


def _claiming(tasks: Sequence[LabelKind], table: Table, columns: Names) -> LabelKind:
    """The first that claims the columns; the last takes what no other does."""
    *asked, last = tasks
    return next((task for task in asked if task.claims(table, columns)), last)


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
    """How to name the labels; where there seems to be a column for each, all of them."""
    flags = columns_of_flags(table)
    if len(flags) < 2:
        return "Name the column with --label-column."
    named = " ".join(f"--label-column {shlex.quote(name)}" for name in flags)
    return f"Name the column with --label-column; for a column a label: {named}"


def _input_columns(table: Table, kind: InputKind, columns: Columns, labels: Names) -> Names:
    if len(columns.inputs) > kind.most_columns:
        able = [other.nouns for other in kind.others if other.most_columns >= len(columns.inputs)]
        raise DataError(
            f"this run takes {kind.nouns}, one a row; two columns were named: "
            f"{_quoted(columns.inputs)}",
            hint="Name one of them with --text-column, or choose a backbone for "
            f"{' or '.join(able)}.",
        )
    for name in columns.inputs:
        _check_kind(table, kind, _named(table, name, "--text-column"))
    learned = columns.learned_inputs
    if not columns.inputs and learned and set(learned) <= set(table.data.column_names):
        for name in learned:
            _check_kind(table, kind, name)
        return learned
    return columns.inputs or (_found_input(table, kind, labels),)


def _tell_of_others(table: Table, columns: Columns, inputs: Names, findings: Findings) -> None:
    """Note where a table has its inputs in another column than the run was trained on."""
    learned = columns.learned_inputs
    if learned and not columns.inputs and inputs != learned:
        findings.note(
            f"{table.title} has no column {_quoted(learned)}, which the run was trained on; "
            f"{_quoted(inputs)} is read (--text-column names another)"
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
    pairs = f", twice for pairs of {kind.nouns}" if kind.most_columns == 2 else ""
    raise DataError(
        f"{table.title} has no column of {kind.in_columns}; its columns: {_names(table)}",
        hint=f"Name the column with --text-column{pairs}. "
        "The first line of a table names its columns.",
    )


def _check_kind(table: Table, kind: InputKind, column: str) -> None:
    held = _held(table, kind, column)
    if held == kind:
        return
    if held is None:
        feature = table.data.features[column]
        what = f"values of type {getattr(feature, 'dtype', '') or type(feature).__name__}"
        hint = f"Name another column with --text-column; there are {_names(table)}."
    else:
        what = held.nouns
        hint = f"Choose a backbone for {what}, or name another column with --text-column."
    raise DataError(
        f"this run takes {kind.nouns}; column {column!r} of {table.title} holds {what}", hint=hint
    )


def _held(table: Table, kind: InputKind, column: str) -> InputKind | None:
    """The kind of inputs that a column holds: paths of files are not texts, though they could be."""
    kinds = sorted((kind, *kind.others), key=lambda each: not each.in_files)
    return next((each for each in kinds if each.holds(table, column)), None)


def _present(table: Table, names: Sequence[str], *, but: Names) -> list[str]:
    """The columns that are called like one of ``names``, in the order of ``names``."""
    columns = [name for name in table.data.column_names if name not in but]
    there = {str(name).strip().lower(): name for name in columns}
    return [there[name] for name in names if name in there]


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
