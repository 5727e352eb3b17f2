"""Corrections: a CSV of decisions on samples, to keep, relabel or drop them.

``zoo clean`` writes such files; the data itself is never changed. Required columns are ``decision``
and either ``file`` (paths below the data) or ``row`` (rows of a table, from 1). ``split`` is needed
where several splits have a row of that number. A sample is relabelled to ``new_label``, or to
``suggested`` if there is none. ``label`` is the label that the decision was made on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zoo.data.labels import Part
from zoo.data.relabelling import NoSuchLabel, label_of, read_label, relabelled
from zoo.data.sample_keys import FILE, ROW, all_rows, file_key, folder_of, keys_of
from zoo.data.samples import Applied
from zoo.errors import ClassesError, DataError, did_you_mean
from zoo.system.small_files import read_small

KEEP, RELABEL, DROP = "keep", "relabel", "drop"
DECISIONS = (KEEP, RELABEL, DROP)

_DELIMITERS = ",;\t"  # spreadsheets write the latter two in some languages


@dataclass(frozen=True)
class Correction:
    """A decision on one sample.

    Attributes:
        line: Its line in the file, from 1.
        key: Path or row number of the sample.
        split: Its split; may be empty.
        decision: One of :data:`DECISIONS`.
        label: The label that the decision was made on; may be empty.
        new_label: The label for a sample to relabel; empty for others.
    """

    line: int
    key: str
    split: str
    decision: str
    label: str
    new_label: str

    @property
    def same_as(self) -> tuple[str, str]:
        """Equal for two decisions that do not contradict each other."""
        return self.decision, self.new_label


@dataclass(frozen=True)
class Corrections:
    """A file of decisions.

    Attributes:
        file: Its path.
        sha256: Of its content.
        column: ``file`` or ``row``.
        decided: The decisions.
    """

    file: str
    sha256: str
    column: str
    decided: tuple[Correction, ...]

    def at(self, correction: Correction) -> str:
        """The place of a decision, for messages."""
        return f"{self.file} line {correction.line}"


def read_corrections(file: str) -> Corrections:
    """Read a file of decisions; rows without a decision are left out.

    Raises:
        DataError: It cannot be read, lacks a column, has no decisions, or one is not valid.
    """
    path = Path(os.path.expanduser(file))
    try:
        content = read_small(path)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        raise DataError(
            f"the corrections {file} cannot be read: {reason or error}",
            hint="Use the corrections.csv of the page that 'zoo clean' writes.",
        ) from error
    rows = _rows(file, text)
    column = next((name for name in (FILE, ROW) if name in rows[0]), None) if rows else FILE
    if column is None or (rows and "decision" not in rows[0]):
        missing = "'decision'" if column else f"{FILE!r} or {ROW!r}"
        raise DataError(
            f"{file} has no column {missing}; its columns: {', '.join(map(repr, rows[0]))}",
            hint="Corrections have the columns file (or row), label, decision and new_label.",
        )
    decided = [_correction(file, line, row, column) for line, row in enumerate(rows, start=2)]
    found = tuple(each for each in decided if each.decision)
    if not found:
        raise DataError(
            f"{file} has no decisions",
            hint="Decide in the page that 'zoo clean' writes, or fill the column 'decision' with "
            "keep, relabel or drop.",
        )
    return Corrections(file, hashlib.sha256(content).hexdigest(), column, found)


def _rows(file: str, text: str) -> list[dict[str, str]]:
    """The rows by column name; a delimiter in the header that is not a comma is detected."""
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval=""))
    except csv.Error as error:
        raise DataError(
            f"{file} is not a valid CSV file: {error}", hint="Export the corrections again."
        ) from error
    return [{str(name).strip(): value or "" for name, value in row.items()} for row in rows]


def _correction(file: str, line: int, row: Mapping[str, str], column: str) -> Correction:
    decision = row["decision"].strip().lower()
    if decision and decision not in DECISIONS:
        raise DataError(
            f"{file} line {line}: the decision must be keep, relabel or drop, got {decision!r}",
            hint=f"Correct it, or leave it empty.{did_you_mean(decision, DECISIONS)}",
        )
    new = (row.get("new_label") or row.get("suggested") or "") if decision == RELABEL else ""
    if decision == RELABEL and not new.strip():
        raise DataError(
            f"{file} line {line}: there is no label to relabel {row[column]!r} to",
            hint="Fill the column 'new_label'.",
        )
    split = row.get("split", "").strip()
    return Correction(line, row[column].strip(), split, decision, row.get("label", ""), new)


# -- applying them ---------------------------------------------------------------------------------


def apply_corrections(
    corrections: Corrections,
    parts: Mapping[str, Part],
    source: str,
    others: Callable[[], Mapping[str, Part]],
) -> tuple[dict[str, Part], Applied]:
    """The splits with relabelled samples, and without those to drop.

    Args:
        corrections: The decisions.
        parts: The splits that are read, with labels; that to train on first.
        source: The data that the user named.
        others: Reads the other splits, on which decisions have no effect.

    Raises:
        DataError: A sample is unknown or has contradictory decisions, a decision was made on another
            label, or no sample of a class is left.
        ClassesError: A class is unknown.
    """
    trained = next(iter(parts))
    found, elsewhere = _located(corrections, parts, source, others)
    known = tuple(dict.fromkeys(name for part in parts.values() for name in part.known.names))
    corrected, counts = dict(parts), dict.fromkeys(DECISIONS, 0)
    for split, decided in found.items():
        for correction in decided.values():
            counts[correction.decision] += 1
        corrected[split] = _changed(corrections, parts[split], decided, known)
        of_classes = split == trained and not parts[split].known.columns
        _require_samples(corrections, parts[split], corrected[split], of_classes=of_classes)
    return corrected, Applied(
        file=corrections.file,
        sha256=corrections.sha256,
        relabelled=counts[RELABEL],
        dropped=counts[DROP],
        kept=counts[KEEP],
        elsewhere=elsewhere,
    )


def _located(
    corrections: Corrections,
    parts: Mapping[str, Part],
    source: str,
    others: Callable[[], Mapping[str, Part]],
) -> tuple[dict[str, dict[int, Correction]], int]:
    """The decisions by split and index; and how many are on splits that are not read."""
    places = {split: _places(corrections, part, source) for split, part in parts.items()}
    unused = {
        split: all_rows(part) if corrections.column == ROW else {} for split, part in parts.items()
    }
    rest: dict[str, Mapping[str, int]] | None = None
    found: dict[str, dict[int, Correction]] = {}
    elsewhere = 0
    root = folder_of(source)
    for correction in corrections.decided:
        key = file_key(correction.key, root) if corrections.column == FILE else correction.key
        split = _split(corrections, correction, key, places)
        if split is not None:
            _add(corrections, correction, found.setdefault(split, {}), places[split][key])
            continue
        if rest is None:
            rest = {s: _places(corrections, part, source) for s, part in others().items()}
        of_split = {**rest, **unused}
        wanted = (
            of_split.values() if not _names(correction, of_split) else [of_split[correction.split]]
        )
        if not any(key in known for known in wanted):
            raise _unknown(corrections, correction, source, places)
        elsewhere += 1
    return found, elsewhere


def _places(corrections: Corrections, part: Part, source: str) -> dict[str, int]:
    """The index of each sample by its name; empty if the split names its samples in another way."""
    named = keys_of(part, source)
    if named.column != corrections.column:
        return {}
    return {key: i for i, key in enumerate(named.keys)}


def _names(correction: Correction, splits: Mapping[str, object]) -> bool:
    return correction.split in splits


def _split(
    corrections: Corrections,
    correction: Correction,
    key: str,
    places: Mapping[str, Mapping[str, int]],
) -> str | None:
    """The split that has the sample; ``None`` if none of those that are read does."""
    having = [split for split, known in places.items() if key in known]
    if corrections.column == FILE:
        return having[0] if having else None
    if correction.split:
        return correction.split if correction.split in having else None
    if len(having) > 1:
        raise DataError(
            f"{corrections.at(correction)}: row {key} is in several splits: {', '.join(having)}",
            hint="Name the split in a column 'split'.",
        )
    return having[0] if having else None


def _add(
    corrections: Corrections, correction: Correction, decided: dict[int, Correction], index: int
) -> None:
    before = decided.setdefault(index, correction)
    if before.same_as != correction.same_as:
        raise DataError(
            f"{corrections.file} lines {before.line} and {correction.line} contradict each other: "
            f"{' '.join(before.same_as).strip()} and {' '.join(correction.same_as).strip()} "
            f"for {corrections.column} {correction.key}",
            hint="Keep one of the two lines.",
        )


def _unknown(
    corrections: Corrections,
    correction: Correction,
    source: str,
    places: Mapping[str, Mapping[str, int]],
) -> DataError:
    where = f" of {correction.split}" if corrections.column == ROW and correction.split else ""
    if any(places.values()):
        guess = did_you_mean(correction.key, [key for known in places.values() for key in known])
    else:
        other = ROW if corrections.column == FILE else FILE
        guess = f" Its samples are named by a column {other!r}."
    return DataError(
        f"{corrections.at(correction)}: {source} has no {corrections.column} "
        f"{correction.key!r}{where}.{guess}",
        hint="The corrections must be those of this data: run 'zoo clean' on it.",
    )


def _changed(
    corrections: Corrections,
    part: Part,
    decided: Mapping[int, Correction],
    known: Sequence[str],
) -> Part:
    labels, changes = part.known, dict[int, object]()
    for index, correction in decided.items():
        own = label_of(labels, index)
        if (
            correction.label.strip()
            and _read(corrections, correction, part, known, new=False) != own
        ):
            raise DataError(
                f"{corrections.at(correction)}: the decision was made on the label "
                f"{correction.label!r}, and {part.inputs.name(index)} has another one",
                hint="Run 'zoo clean' again: the labels have changed since.",
            )
        if correction.decision == RELABEL:
            changes[index] = _read(corrections, correction, part, known, new=True)
    dropped = [i for i, correction in decided.items() if correction.decision == DROP]
    changed = _with_labels(part, changes)
    return changed.take(np.setdiff1d(np.arange(len(part.inputs)), dropped)) if dropped else changed


def _with_labels(part: Part, changes: Mapping[int, object]) -> Part:
    return replace(part, labels=relabelled(part.known, changes)) if changes else part


def _read(
    corrections: Corrections, correction: Correction, part: Part, known: Sequence[str], *, new: bool
) -> object:
    cell = correction.new_label if new else correction.label
    try:
        return read_label(part.known, cell, known)
    except NoSuchLabel as error:
        if not new:
            return None
        if part.known.columns:
            raise DataError(
                f"{corrections.at(correction)}: {cell!r} is not a label of {part.where}",
                hint=f"It has numbers: {', '.join(part.known.names)}; several as [1.5, 2].",
            ) from error
        raise ClassesError(
            f"{corrections.at(correction)}: {part.where} has no class {str(error)!r}."
            f"{did_you_mean(str(error), known)}",
            hint=f"Its classes: {', '.join(map(repr, known[:20]))}.",
        ) from error


def _require_samples(
    corrections: Corrections, before: Part, after: Part, *, of_classes: bool
) -> None:
    """Raise a :class:`DataError` if a split, or one of its classes, has lost its last sample."""
    lost = "" if len(after.inputs) else "sample"
    if of_classes and not lost:
        names = before.known.names
        counts = zip(names, before.known.counts(), after.known.counts(), strict=False)
        lost = next((f"sample of class {n!r}" for n, then, now in counts if then and not now), "")
    if lost:
        raise DataError(
            f"no {lost} of {before.where} is left after {corrections.file}",
            hint="Keep one of them, or remove the class from the data.",
        )
