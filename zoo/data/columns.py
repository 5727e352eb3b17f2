"""Which columns of a table hold the inputs and which the labels, and what the inputs are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zoo.contract.spec import Modality
from zoo.data.cells import columns_of_flags
from zoo.data.dialects import Quoting
from zoo.data.labels import Cells, LabelKind, Part
from zoo.data.reports import Findings
from zoo.data.samples import Column, Indices, Inputs, Pairs, Paths
from zoo.data.tables import Table
from zoo.errors import DataError, did_you_mean
from zoo.modalities.image.reading import looks_like_picture

if TYPE_CHECKING:
    import pyarrow as pa

Names: TypeAlias = tuple[str, ...]
ColumnNames: TypeAlias = str | Sequence[str] | None
"""A column that the user names, or several; ``None`` leaves the choice to the zoo."""

# fmt: off
TEXT_COLUMNS: Names = (
    "text", "sentence", "review", "content", "comment", "message", "body", "document", "tweet",
    "comment_text", "utterance", "question", "query", "description", "headline", "title", "input", "texts",
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

_LONGEST_PATH = 4096  # bytes


@dataclass(frozen=True)
class Columns:
    """The columns that the user named; where there are none, the lists above choose one.

    Attributes:
        inputs: The column of texts or pictures, or the two of pairs of texts.
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
    modality: Modality,
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
    inputs = _input_columns(table, modality, columns, labels)
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
    if modality == "image":
        own = _possible(table, inputs[0])
        _report(findings, table, own | ~filled, f"no path of a file in column {inputs[0]!r}")
        filled &= own
    rows = np.flatnonzero(filled)
    read = _inputs(table, modality, inputs, rows)
    known = None if cells.labels is None else cells.labels.take(rows)
    if known is not None and table.rows is not None:
        known = known.occurring()
    return Part(table.title, read, known, rows=rows, columns=(inputs, labels), task=task)


def path_column(table: Table, columns: Columns) -> str | None:
    """The column of paths of images that :func:`read_part` would read, if there is one."""
    candidates = columns.inputs or _present(table, PICTURE_COLUMNS, but=columns.labels)
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


def _possible(table: Table, column: str) -> np.ndarray[Any, Any]:
    """Which rows hold what a path can be, where they hold paths: no NUL, and not endless."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _arrow(table, column)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return np.ones(len(values), dtype=bool)
    short = pc.less_equal(pc.binary_length(values), _LONGEST_PATH)
    possible = pc.and_(short, pc.invert(pc.match_substring(values, "\0")))
    return np.asarray(pc.fill_null(possible, False).to_numpy(), dtype=bool)


def _inputs(table: Table, modality: Modality, columns: Names, rows: Indices) -> Inputs:
    import datasets

    column = columns[0]
    if len(columns) == 2:
        return Pairs(*(Column(table.data, name, rows, table.title) for name in columns))
    if modality == "image" and not isinstance(table.data.features[column], datasets.Image):
        values = _arrow(table, column).take(rows)
        if str(values.type).endswith("string"):
            return Paths.under(table.folder, [path.strip() for path in values.to_pylist()])
    return Column(table.data, column, rows, table.title)


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
            f"{table.title} has no column of {tasks[-1].wanted}; its columns: {_names(table)}",
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


def _input_columns(table: Table, modality: Modality, columns: Columns, labels: Names) -> Names:
    if len(columns.inputs) == 2 and modality == "image":
        raise DataError(
            f"this run takes pictures, one a row; two columns were named: "
            f"{_quoted(columns.inputs)}",
            hint="Name one of them with --text-column, or choose a backbone for texts.",
        )
    for name in columns.inputs:
        _check_kind(table, modality, _named(table, name, "--text-column"))
    learned = columns.learned_inputs
    if not columns.inputs and learned and set(learned) <= set(table.data.column_names):
        for name in learned:
            _check_kind(table, modality, name)
        return learned
    return columns.inputs or (_found_input(table, modality, labels),)


def _tell_of_others(table: Table, columns: Columns, inputs: Names, findings: Findings) -> None:
    """Note where a table has its inputs in another column than the run was trained on."""
    learned = columns.learned_inputs
    if learned and not columns.inputs and inputs != learned:
        findings.note(
            f"{table.title} has no column {_quoted(learned)}, which the run was trained on; "
            f"{_quoted(inputs)} is read (--text-column names another)"
        )


def _found_input(table: Table, modality: Modality, labels: Names) -> str:
    own, other = TEXT_COLUMNS, PICTURE_COLUMNS
    if modality == "image":
        own, other = other, own
    candidates = _present(table, own, but=labels)
    for column in candidates:
        if _kind(table, column) == modality:
            return column
    others = [name for name in table.data.column_names if name not in labels]
    if len(others) == 1 and _kind(table, others[0]) == modality:
        return str(others[0])
    for column in [*candidates, *_present(table, other, but=labels)]:
        if column in candidates or _kind(table, column) in ("image", "text"):
            _check_kind(table, modality, column)
    what = "texts" if modality == "text" else "paths of pictures"
    pairs = ", twice for pairs of texts" if modality == "text" else ""
    raise DataError(
        f"{table.title} has no column of {what}; its columns: {_names(table)}",
        hint=f"Name the column with --text-column{pairs}. "
        "The first line of a table names its columns.",
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
    # Most will do: those that are none are then named one by one, and not the column as texts.
    return "image" if 2 * sum(map(_is_picture_path, head)) > len(head) else "text"


def _is_picture_path(value: str) -> bool:
    return looks_like_picture(value.strip()) and "\n" not in value.strip()


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
