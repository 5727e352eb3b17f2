"""Open the inputs of a prediction: objects in memory, files, folders and tables."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from zoo.data.kind import BadInput, InputKind, ReadContext
from zoo.data.memory.tables import given_split, is_table
from zoo.data.reports import Findings
from zoo.data.samples import Samples
from zoo.data.sequences import Inputs, Listed, Raw
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns, read_part
from zoo.data.sources.dialects import Quoting
from zoo.data.sources.tables import read_table
from zoo.data.table import Table
from zoo.errors import DataError

Given: TypeAlias = Any
"""An input in memory, or the path of a file, folder or table."""


class UsableCheck(Protocol):
    """Finds inputs that a network cannot use."""

    def misfits(self, traits: Any) -> Mapping[int, str]:
        """Reasons by index."""


def open_inputs(
    inputs: Iterable[Given] | Given,
    kind: InputKind,
    text_column: ColumnNames = None,
    *,
    pairs: bool = False,
    bad: dict[int, BadInput] | None = None,
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
    findings: Findings | None = None,
) -> Samples:
    """The inputs of a prediction, in the order given; folders are walked, sorted by name.

    For files: their paths, those of folders and of tables of paths, what the modality takes in
    memory, and encoded inputs (bytes). For texts: the texts themselves, and paths
    of tables and of ``.txt`` files with one text per line, blank lines included. For text pairs:
    tuples of two texts, and paths of tables. Or a table in memory, in place of a list.

    Args:
        inputs: The inputs to predict, or a single one.
        kind: The modality of the run.
        text_column: The table column of texts or file paths; two for text pairs.
        pairs: Whether the run takes text pairs.
        bad: Collects unusable inputs by their index among all inputs; ``None`` to raise an error.
        learned: The columns that the run was trained on, used if ``text_column`` is ``None``.
        findings: Collects notes about what was guessed.
        quoting: Of CSV and TSV files, as for :func:`zoo.data.dataset.open_data`.

    Raises:
        DataError: A file does not exist or is of another modality, or there are no inputs.
        BadFilesError: An input cannot be used, and ``bad`` is ``None``.
    """
    columns = Columns.named(text_column, quoting=quoting).learned(learned)
    findings = findings or Findings("error")
    _refuse_pairs(columns, pairs=pairs)
    if is_table(inputs):
        return Samples(kind, _of_table_in_memory(inputs, kind, columns, bad, findings))
    return Samples(kind, _of_list(inputs, kind, columns, bad, findings, pairs=pairs))


def _refuse_pairs(columns: Columns, *, pairs: bool) -> None:
    """Raise a :class:`DataError` if the columns named do not make up an input of the run."""
    if columns.inputs and pairs != (len(columns.inputs) == 2):
        takes = "text pairs, from two columns" if pairs else "one text each, from one column"
        raise DataError(
            f"the model takes {takes}; --text-column was given {len(columns.inputs)} times",
            hint=f"Give --text-column {'twice' if pairs else 'once'}.",
        )


def _of_table_in_memory(
    inputs: Given,
    kind: InputKind,
    columns: Columns,
    bad: dict[int, BadInput] | None,
    findings: Findings,
) -> Inputs:
    split = given_split(inputs, kind, type(inputs).__name__)
    if split.inputs is None:
        return _of_table(split.table, kind, columns, bad, findings)
    if bad is None:
        _require_all(split.inputs, kind)
    return split.inputs


def _of_list(
    inputs: Iterable[Given] | Given,
    kind: InputKind,
    columns: Columns,
    bad: dict[int, BadInput] | None,
    findings: Findings,
    *,
    pairs: bool,
) -> Inputs:
    """The inputs of each object, file, folder or table in a list, one after the other."""
    groups, count = list[Inputs](), 0
    for number, given in enumerate(_listed(inputs, kind), start=1):
        bad_here: dict[int, BadInput] = {}
        collected = None if bad is None else bad_here
        table = partial(_column, kind, columns, collected, findings)
        groups.append(
            kind.open_given(given, number, ReadContext(kind, pairs, table, collected, findings))
        )
        if bad is not None:
            bad |= {count + place: each for place, each in bad_here.items()}
        count += len(groups[-1]) + len(bad_here)
    if not count:
        raise DataError("no inputs to predict", hint="Give at least one input.")
    return groups[0] if len(groups) == 1 else _joined(groups)


def _require_all(inputs: Inputs, kind: InputKind) -> None:
    """Raise a :class:`BadFilesError` if cells of a column of objects are empty."""
    findings = Findings("error")
    for index in range(len(inputs)):
        if inputs[index] is None:
            findings.add(inputs.name(index), f"there is no {kind.noun}")
    findings.check()


def without_unreadable(
    samples: Samples, bad: dict[int, BadInput], check: UsableCheck | None = None
) -> Samples:
    """``samples`` without unusable inputs, which are added to ``bad``.

    Args:
        samples: The result of :func:`open_inputs`.
        bad: The inputs that it could not use, by index among all inputs; is added to.
        check: Checks the traits of each input; ``None`` if all that are readable are usable.

    Raises:
        BadFilesError: None of the inputs can be used.
    """
    reasons = dict[int, str]()
    if samples.kind.in_files:
        seen = samples.kind.examine(samples.inputs)
        misfits = check.misfits(seen.traits) if check is not None else {}
        reasons = {**misfits, **seen.reasons}
    places = [i for i in range(len(samples) + len(bad)) if i not in bad]
    good = [i for i in range(len(samples)) if i not in reasons]
    bad |= {places[i]: (samples.input(i), reason) for i, reason in reasons.items()}
    if not good:
        Findings("error", [bad[place] for place in sorted(bad)]).check()
    return samples.select(good) if reasons else samples


def _listed(inputs: Iterable[Given] | Given, kind: InputKind) -> Iterable[Given]:
    if isinstance(inputs, (str, os.PathLike)) or _in_memory(inputs, kind):
        inputs = [inputs]
    # Iterating over a table in memory yields the names of its columns.
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns") or hasattr(inputs, "column_names"):
        raise DataError(
            f"inputs must be a list or a table, got a {type(inputs).__name__}",
            hint="Pass a list, a pandas DataFrame or a datasets.Dataset.",
        )
    if not isinstance(inputs, Iterable):
        raise DataError(
            f"inputs must be a list, got {type(inputs).__name__}",
            hint=f"Pass {kind.inputs_in_words}.",
        )
    return map(_checked, itertools.count(1), inputs, itertools.repeat(kind))


def _in_memory(given: Any, kind: InputKind) -> bool:
    """Whether an object is a single input of any modality."""
    return any(each.in_memory(given) for each in (kind, *kind.others))


def _checked(number: int, given: Any, kind: InputKind) -> Given:
    """An input, if its type is one that some run takes."""
    if isinstance(given, (str, os.PathLike)) or _in_memory(given, kind):
        return given
    name = type(given).__name__
    description = (
        "a tuple that is not a text pair" if isinstance(given, tuple) else f"of type {name}"
    )
    raise DataError(
        f"input {number} is {description}",
        hint=f"Pass {kind.inputs_in_words}.",
    )


def _joined(groups: Sequence[Inputs]) -> Listed:
    pairs = [(group[i], group.name(i)) for group in groups for i in range(len(group))]
    return Listed(tuple(raw for raw, _ in pairs), tuple(name for _, name in pairs))


def _column(
    kind: InputKind,
    columns: Columns,
    bad: dict[int, BadInput] | None,
    notes: Findings,
    path: Path,
) -> Inputs:
    return _of_table(read_table(path, columns.quoting), kind, columns, bad, notes)


def _of_table(
    table: Table,
    kind: InputKind,
    columns: Columns,
    bad: dict[int, BadInput] | None,
    notes: Findings,
) -> Inputs:
    """The inputs in the rows of a table."""
    findings = Findings("error" if bad is None else "skip")
    part = read_part(table, kind, columns, findings, labelled=False)
    findings.check()
    for fact in findings.notes:
        notes.note(fact)
    if bad is not None and part.rows is not None:
        reasons = dict(findings.found)
        for row in sorted(set(range(len(table.data))) - set(part.rows.tolist())):
            name = f"{table.title} row {row + 1}"
            bad[row] = name, reasons[name]
    return part.inputs


def one(raw: Raw, name: str) -> Listed:
    """A single input with its name."""
    return Listed((raw,), (name,))
