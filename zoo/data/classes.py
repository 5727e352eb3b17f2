"""What the outputs stand for: from what the splits say to one list, and checks that keep it honest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.data.labels import AnyLabels, Part
from zoo.data.reports import Findings
from zoo.data.samples import LabelArray
from zoo.data.sources.walk import visible_folders
from zoo.errors import ClassesError, DataError, did_you_mean

_INTEGER = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")
_MANY = 10  # different numbers from which on they are taken for measurements, not for names


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sorted: by number where all are numbers, else as text."""
    distinct = set(names)
    try:
        return sorted(distinct, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(distinct)


def unify_integer_labels(
    parts: Mapping[str, Part], known: Sequence[str], findings: Findings
) -> dict[str, Part]:
    """Write ``1.0`` as ``1`` where all labels of all splits are whole numbers.

    One file may hold ``1`` and another, because a row lacks its label, ``1.0``. A label with
    leading zeros is a text, and then all are left as they are, and so are the names of folders and
    of columns of numbers.
    """
    labels = [part.labels for part in parts.values() if part.labels is not None]
    names = {name for each in labels for name in each.names} | set(known)
    exact = any(each.exact for each in labels)
    if any(each.columns for each in labels):
        return dict(parts)
    if exact or not all(_INTEGER.fullmatch(name) for name in names):
        return dict(parts)
    for part in parts.values():
        own = set(part.labels.names if part.labels is not None else ())
        for name in sorted(own):
            whole = name.partition(".")[0]
            if name != whole and whole in own:
                findings.note(f"labels {name!r} and {whole!r} of {part.where} are one class")
    plain = {name: name if name in known else name.partition(".")[0] for name in names}
    return {
        key: part if part.labels is None else replace(part, labels=part.labels.renamed(plain))
        for key, part in parts.items()
    }


def refuse_numeric_labels(part: Part) -> None:
    """Raise a :class:`ClassesError` where nearly every sample has a number of its own."""
    labels = part.known
    used = [name for name, count in zip(labels.names, labels.counts(), strict=True) if count]
    if len(used) > max(_MANY, len(labels) / 2) and all_numbers(labels):
        raise ClassesError(
            f"the labels of {part.where} are nearly all different numbers: {len(used):,} in "
            f"{len(labels):,} samples",
            hint="To predict numbers give --task regression; for a class each, --task single-label.",
        )


def all_numbers(labels: AnyLabels) -> bool:
    """Whether the names of all classes are numbers."""
    try:
        return all(np.isfinite(float(name)) for name in labels.names)
    except ValueError:
        return False


def choose_classes(part: Part) -> tuple[str, ...]:
    """The class names of the training split, sorted unless the publisher has ordered them.

    For regression the names of the columns, in the order given.

    Raises:
        ClassesError: A class has no sample, or a single label has only one class.
    """
    labels = part.known
    if labels.columns:
        return labels.names
    counts = labels.counts()
    empty = [name for name, count in zip(labels.names, counts, strict=True) if not count]
    if empty and not labels.ordered:
        raise ClassesError(
            f"{part.where} has nothing in {listed(empty)}",
            hint="Put files into the folder, or remove it.",
        )
    names = [name for name, count in zip(labels.names, counts, strict=True) if count]
    classes = tuple(names if labels.ordered else sort_classes(names))
    if not classes:
        raise ClassesError(f"{part.where} has no samples")
    if len(classes) < labels.least:
        raise ClassesError(
            f"{part.where} has only one class, {listed(classes)}; at least two are needed",
            hint=_below(part.where, classes[0]),
        )
    return classes


def _below(where: str, only: str) -> str:
    """What to do about one class: it may be a folder around the classes, as archives have one."""
    inner = os.path.join(where, only)
    if os.path.isdir(inner) and visible_folders(Path(inner)):
        return f"If the folders in {only}/ are the classes or the splits, give --data {inner}."
    return "Add samples of another class."


def check_count(classes: Sequence[str], wanted: int | None, part: Part) -> None:
    """Compare the number of outputs with the one that the user gave.

    Raises:
        ClassesError: They differ; the message has both numbers and the names.
    """
    if wanted is not None and wanted != len(classes):
        raise ClassesError(
            f"--classes {wanted} was given, but {part.where} has {len(classes)} {part.known.nouns}: "
            f"{listed(classes)}",
            hint=f"Give --classes {len(classes)}, or leave the option out.",
        )


def label_array(part: Part, classes: Sequence[str], *, owner: str) -> LabelArray:
    """The labels of ``part`` as the task has them, in the order of ``classes``.

    Args:
        part: A split.
        classes: The class names, or columns of numbers, of the training split.
        owner: Whose they are, for the message.

    Raises:
        ClassesError: A sample has a class that ``classes`` lacks, or the columns are others.
    """
    labels = part.known
    if labels.columns and set(labels.names) != set(classes):
        raise ClassesError(
            f"the numbers of {part.where} are in {listed(labels.names)}, and {owner} has "
            f"{listed(classes)}",
            hint="Name as many columns, in the same order, with --label-column.",
        )
    position = {name: i for i, name in enumerate(classes)}
    used = [n for n, count in zip(labels.names, labels.counts(), strict=True) if count]
    unknown = [name for name in used if name not in position]
    if unknown:
        guess = did_you_mean(unknown[0], classes)
        raise ClassesError(
            f"{part.where} has {listed(unknown)}, which {owner} does not know.{guess}",
            hint=f"Its classes: {listed(classes)}.",
        )
    return labels.as_array(position)


def require_samples(labels: LabelArray, part: Part, classes: Sequence[str]) -> None:
    """After unreadable inputs have been left out, there must still be some of every class.

    Raises:
        DataError: There are none.
    """
    if not len(labels):
        raise DataError(f"{part.where} has no readable input among {len(part.inputs):,}")
    if part.known.columns:
        return
    single = labels.ndim == 1
    counts = np.bincount(labels, minlength=len(classes)) if single else labels.sum(axis=0)
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        raise DataError(
            f"{part.where} has no readable input of {', '.join(map(repr, lost))}",
            hint="Fix the files, or remove the class.",
        )


def require_variety(labels: LabelArray, where: str, columns: Sequence[str]) -> None:
    """The numbers that are trained on must differ.

    Raises:
        DataError: A column has the same number everywhere.
    """
    for column, values in zip(columns, labels.T, strict=True):
        if values.min() == values.max():
            raise DataError(
                f"all that is trained on has the same number in column {column!r} of "
                f"{where}, {values[0]:g}: there is nothing to learn from it",
                hint="Name another column with --label-column, or add samples.",
            )


def listed(names: Sequence[str], shown: int = 12) -> str:
    """The names in quotes, separated by commas; of very many the first."""
    text = ", ".join(repr(name) for name in names[:shown])
    return f"{text}, … ({len(names)} in all)" if len(names) > shown else text
