"""One list of classes for all splits, and checks of the labels against it."""

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
_MANY = 10  # more distinct numbers than this look like measurements rather than class names


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sort names: numerically if all are numbers, else as text."""
    distinct = set(names)
    try:
        return sorted(distinct, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(distinct)


def unify_integer_labels(
    parts: Mapping[str, Part], known: Sequence[str], findings: Findings
) -> dict[str, Part]:
    """Write ``1.0`` as ``1`` if all labels of all splits are whole numbers.

    A missing label turns ``1`` into ``1.0`` in one file and not in another. Nothing changes if a
    label has leading zeros, which make it text, nor for class folders and regression targets.
    """
    labels = [part.labels for part in parts.values() if part.labels is not None]
    names = {name for each in labels for name in each.names} | set(known)
    exact = any(each.exact for each in labels)
    if any(each.columns for each in labels):
        return dict(parts)
    if exact or not all(_INTEGER.fullmatch(name) for name in names):
        return dict(parts)
    for part in parts.values():
        present = set(part.labels.names if part.labels is not None else ())
        for name in sorted(present):
            whole = name.partition(".")[0]
            if name != whole and whole in present:
                findings.note(f"labels {name!r} and {whole!r} of {part.where} are the same class")
    plain = {name: name if name in known else name.partition(".")[0] for name in names}
    return {
        key: part if part.labels is None else replace(part, labels=part.labels.renamed(plain))
        for key, part in parts.items()
    }


def refuse_numeric_labels(part: Part) -> None:
    """Raise a :class:`ClassesError` if the labels look like numbers to predict, not classes."""
    labels = part.known
    used = [name for name, count in zip(labels.names, labels.counts(), strict=True) if count]
    if len(used) > max(_MANY, len(labels) / 2) and all_numbers(labels):
        raise ClassesError(
            f"the labels of {part.where} look numeric: {len(used):,} distinct values in "
            f"{len(labels):,} samples",
            hint="Use --task regression to predict values, or --task single-label to classify.",
        )


def all_numbers(labels: AnyLabels) -> bool:
    """Whether the names of all classes are numbers."""
    try:
        return all(np.isfinite(float(name)) for name in labels.names)
    except ValueError:
        return False


def choose_classes(part: Part) -> tuple[str, ...]:
    """The class names of the training split, sorted unless the dataset defines their order.

    For regression, the target columns in the order given.

    Raises:
        ClassesError: A class has no samples, or there are too few classes.
    """
    labels = part.known
    if labels.columns:
        return labels.names
    counts = labels.counts()
    empty = [name for name, count in zip(labels.names, counts, strict=True) if not count]
    if empty and not labels.ordered:
        raise ClassesError(
            f"{part.where} has no samples of class {listed(empty)}",
            hint="Add files to the folder, or remove it.",
        )
    names = [name for name, count in zip(labels.names, counts, strict=True) if count]
    classes = tuple(names if labels.ordered else sort_classes(names))
    if not classes:
        raise ClassesError(f"{part.where} has no samples", hint="Add labelled samples.")
    if len(classes) < labels.min_outputs:
        raise ClassesError(
            f"{part.where} has only one class, {listed(classes)}; at least two are needed",
            hint=_below(part.where, classes[0]),
        )
    return classes


def _below(where: str, only: str) -> str:
    """A hint for a single class, which may be the top folder of an unpacked archive."""
    inner = os.path.join(where, only)
    if os.path.isdir(inner) and visible_folders(Path(inner)):
        return f"If the folders in {only}/ are the classes or splits, use --data {inner}."
    return "Add samples of a second class."


def check_count(classes: Sequence[str], wanted: int | None, part: Part) -> None:
    """Check the number of outputs against ``--classes``.

    Raises:
        ClassesError: They differ; the message has both numbers and the names.
    """
    if wanted is not None and wanted != len(classes):
        raise ClassesError(
            f"--classes {wanted} was given, but {part.where} has {len(classes)} {part.known.nouns}: "
            f"{listed(classes)}",
            hint=f"Use --classes {len(classes)}, or remove the option.",
        )


def label_array(part: Part, classes: Sequence[str], *, owner: str) -> LabelArray:
    """The labels of ``part`` as an array, in the order of ``classes``.

    Args:
        part: A split.
        classes: The class names or target columns of the training split.
        owner: What ``classes`` belong to, for the message.

    Raises:
        ClassesError: A sample has an unknown class, or the target columns differ.
    """
    labels = part.known
    if labels.columns and set(labels.names) != set(classes):
        raise ClassesError(
            f"{part.where} has the target columns {listed(labels.names)}, but {owner} has "
            f"{listed(classes)}",
            hint="Name the same number of columns, in the same order, with --label-column.",
        )
    position = {name: i for i, name in enumerate(classes)}
    used = [n for n, count in zip(labels.names, labels.counts(), strict=True) if count]
    unknown = [name for name in used if name not in position]
    if unknown:
        guess = did_you_mean(unknown[0], classes)
        raise ClassesError(
            f"{part.where} has classes that {owner} does not have: {listed(unknown)}.{guess}",
            hint=f"Its classes: {listed(classes)}.",
        )
    return labels.as_array(position)


def nothing_readable(where: str) -> DataError:
    """The error for data of which no input can be read."""
    return DataError(
        f"{where} has no readable inputs",
        hint="Check the files, or use other data; without '--bad-files skip' each fault is listed.",
    )


def require_samples(labels: LabelArray, part: Part, classes: Sequence[str]) -> None:
    """Check that every class still has samples after unreadable inputs are skipped.

    Raises:
        DataError: A class has none.
    """
    if not len(labels):
        raise nothing_readable(part.where)
    if part.known.columns:
        return
    single = labels.ndim == 1
    counts = np.bincount(labels, minlength=len(classes)) if single else labels.sum(axis=0)
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"{part.where} has no readable inputs of class {', '.join(map(repr, empty))}",
            hint="Fix the files, or remove the class.",
        )


def require_variety(labels: LabelArray, where: str, columns: Sequence[str]) -> None:
    """Check that regression targets vary.

    Raises:
        DataError: A column is constant.
    """
    for column, values in zip(columns, labels.T, strict=True):
        if values.min() == values.max():
            raise DataError(
                f"column {column!r} of {where} is constant over the training samples: {values[0]:g}",
                hint="Name another column with --label-column, or add samples.",
            )


def listed(names: Sequence[str], shown: int = 12) -> str:
    """The names in quotes, separated by commas; only the first of very many."""
    text = ", ".join(repr(name) for name in names[:shown])
    return f"{text}, … ({len(names)} in all)" if len(names) > shown else text
