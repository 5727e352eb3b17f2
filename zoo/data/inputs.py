"""What a prediction takes: inputs in memory, files, folders and tables of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from zoo.data.kind import BadInput, InputKind, ReadContext
from zoo.data.reports import Findings
from zoo.data.samples import Samples
from zoo.data.sequences import Inputs, Listed, Raw
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns, read_part
from zoo.data.sources.dialects import Quoting
from zoo.data.sources.tables import read_table
from zoo.errors import DataError

Given: TypeAlias = Any
"""An input itself, of a type that its kind knows, or the path of where some lie."""


class UsableCheck(Protocol):
    """Tells which inputs a network must not get."""

    def misfits(self, traits: Any) -> Mapping[int, str]:
        """The indices of those, and why."""


def open_inputs(
    inputs: Iterable[Given],
    kind: InputKind,
    text_column: ColumnNames = None,
    *,
    pairs: bool = False,
    lost: dict[int, BadInput] | None = None,
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
    findings: Findings | None = None,
) -> Samples:
    """The inputs of a prediction, in the order given; folders are read through, sorted by name.

    For images: paths of images, of folders and of tables of paths, images in memory
    (``PIL.Image.Image``), and encoded ones (bytes). For texts: the texts themselves, and paths of
    tables and of ``.txt`` files with a text a line, blank ones included. For pairs: tuples of two
    texts, and paths of tables.

    Args:
        inputs: What to predict.
        kind: What the run takes: a modality.
        text_column: The column of texts, or of paths of files, in tables; two for pairs.
        pairs: Whether the run takes pairs of texts.
        lost: Is given what cannot be used, by the place among all inputs that it would have had;
            ``None`` to stop at it.
        learned: The columns that the run was trained on, where ``text_column`` names none.
        findings: Is told what was guessed.
        quoting: As for :func:`zoo.data.dataset.open_data`.

    Raises:
        DataError: There is no such file, or it is not of this kind, or there is nothing.
        BadFilesError: An input cannot be used, and there is no ``lost`` to keep it.
    """
    columns, findings = (
        Columns.named(text_column, quoting=quoting).learned(learned),
        findings or Findings("error"),
    )
    if columns.inputs and pairs != (len(columns.inputs) == 2):
        takes = "pairs, from two columns" if pairs else "one input, from one column"
        raise DataError(
            f"this run takes {takes}; --text-column names {len(columns.inputs)}",
            hint="Give it twice." if pairs else "Give it once.",
        )
    groups, count = list[Inputs](), 0
    for number, given in enumerate(_listed(inputs, kind), start=1):
        own: dict[int, BadInput] = {}
        missed = None if lost is None else own
        table = partial(_column, kind, columns, missed, findings)
        groups.append(
            kind.open_given(given, number, ReadContext(kind, pairs, table, missed, findings))
        )
        if lost is not None:
            lost |= {count + place: each for place, each in own.items()}
        count += len(groups[-1]) + len(own)
    if not count:
        raise DataError("there is nothing to predict", hint="Give at least one input.")
    return Samples(kind, groups[0] if len(groups) == 1 else _joined(groups))


def without_unreadable(
    samples: Samples, lost: dict[int, BadInput], check: UsableCheck | None = None
) -> Samples:
    """``samples`` without the inputs that cannot be read, or used; ``lost`` is given those.

    Args:
        samples: What :func:`open_inputs` has read.
        lost: What it could not, by place among all inputs; these are put among them.
        check: Looks at the traits of each; ``None`` where any text will do.

    Raises:
        BadFilesError: None of the inputs can be used.
    """
    reasons = dict[int, str]()
    if check is not None:
        seen = samples.kind.examine(samples.inputs)
        reasons = {**check.misfits(seen.traits), **seen.reasons}
    places = [i for i in range(len(samples) + len(lost)) if i not in lost]
    good = [i for i in range(len(samples)) if i not in reasons]
    lost |= {places[i]: (samples.input(i), reason) for i, reason in reasons.items()}
    if not good:
        Findings("error", [lost[place] for place in sorted(lost)]).check()
    return samples.select(good) if reasons else samples


def _listed(inputs: Iterable[Given], kind: InputKind) -> Iterable[Given]:
    if isinstance(inputs, (str, os.PathLike)) or _in_memory(inputs, kind):
        raise DataError(
            f"inputs come as a list; a single {type(inputs).__name__} was given",
            hint="Put it into a list: [input].",
        )
    # A table in memory gives the names of its columns, one by one, to whoever goes through it.
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns") or hasattr(inputs, "column_names"):
        raise DataError(
            f"inputs come as a list; a {type(inputs).__name__} was given",
            hint='Give the list of one column: frame["text"].tolist(). Or the path of a table.',
        )
    if not isinstance(inputs, Iterable):
        raise DataError(
            f"inputs come as a list; {type(inputs).__name__} was given", hint="Give [input]."
        )
    return map(_checked, itertools.count(1), inputs, itertools.repeat(kind))


def _in_memory(given: Any, kind: InputKind) -> bool:
    """Whether something is an input of any kind; a list of texts is none."""
    return any(each.in_memory(given) for each in (kind, *kind.others))


def _checked(number: int, given: Any, kind: InputKind) -> Given:
    """An input as it is, if it is of a type that some run takes."""
    if isinstance(given, (str, os.PathLike)) or _in_memory(given, kind):
        return given
    what = "a tuple of other things than texts" if isinstance(given, tuple) else repr(type(given))
    raise DataError(
        f"input {number} is {what}",
        hint="Give texts or paths; for images in memory Pillow's images or their encoded bytes.",
    )


def _joined(groups: Sequence[Inputs]) -> Listed:
    pairs = [(group[i], group.name(i)) for group in groups for i in range(len(group))]
    return Listed(tuple(raw for raw, _ in pairs), tuple(name for _, name in pairs))


def _column(
    kind: InputKind,
    columns: Columns,
    lost: dict[int, BadInput] | None,
    told: Findings,
    path: Path,
) -> Inputs:
    findings = Findings("error" if lost is None else "skip")
    table = read_table(path, columns.quoting)
    part = read_part(table, kind, columns, findings, labelled=False)
    findings.check()
    for fact in findings.notes:
        told.note(fact)
    if lost is not None and part.rows is not None:
        reasons = dict(findings.found)
        for row in sorted(set(range(len(table.data))) - set(part.rows.tolist())):
            name = f"{table.title} row {row + 1}"
            lost[row] = name, reasons[name]
    return part.inputs


def one(raw: Raw, name: str) -> Listed:
    """A single input, with its name."""
    return Listed((raw,), (name,))
