"""Labels as zeros and ones: one column per class, or a vector per row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.data.cell_values import arrow, text_of, values_in
from zoo.data.flags import flag_of
from zoo.data.labels import Cells, Labels, LabelSets
from zoo.data.table import Table
from zoo.errors import DataError


def vectors_of_flags(table: Table, column: str, given: NDArray[np.float64]) -> Cells:
    """Several classes per row, of a column of vectors, ``(rows, classes)``.

    Raises:
        DataError: They hold other numbers than 0 and 1.
    """
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
class FlagColumns:
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


def flags_in(table: Table, columns: Sequence[str]) -> FlagColumns:
    """One column per label.

    Raises:
        DataError: A cell is neither 0 nor 1, nor empty.
    """
    flags = np.zeros((len(table.data), len(columns)), dtype=np.bool_)
    faults: dict[int, str] = {}
    for place, column in enumerate(columns):
        for row, value in enumerate(values_in(table, column)):
            flag = flag_of(value)
            if flag is None and text_of(value):
                raise DataError(
                    f"column {column!r} of {table.title} must be 0 or 1 in every row, got "
                    f"{str(value)[:40]!r} in row {row + 1}",
                    hint="Name only 0/1 label columns with --label-column, or use --task regression "
                    "to predict numbers.",
                )
            if flag is None:
                faults.setdefault(row, f"no 0 or 1 in column {column!r}")
            flags[row, place] = flag == 1
    return FlagColumns(flags, faults)


def sets_of_flags(table: Table, columns: Sequence[str]) -> Cells:
    """Several classes per row, of one column per class."""
    read, names = flags_in(table, columns), tuple(columns)
    if read.empty:
        return Cells(None)
    note = f"the labels are in {len(names)} columns of zeros and ones{_never(names, read.has)}"
    return Cells(LabelSets(names, read.has, ordered=True), read.faults, note)


def class_of_flags(table: Table, columns: Sequence[str]) -> Cells:
    """One class per row, of one column per class."""
    read, names = flags_in(table, columns), tuple(columns)
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
        values = arrow(table, name).unique().to_pylist()
        flags = {flag_of(value) for value in values if text_of(value)}
        if flags == {0.0, 1.0}:
            found.append(str(name))
    return found
