"""Other labels for some samples, read from the cells of a CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.data.cells import split_cell
from zoo.data.labels import AnyLabels, Labels, LabelSets, Numbers, plain_label


class NoSuchLabel(Exception):
    """A cell that is not a label of the data; the message says why."""


def read_label(labels: AnyLabels, cell: str, known: Sequence[str]) -> Any:
    """The label in a cell: a class name, several, or numbers.

    Args:
        labels: Those of the split.
        cell: The cell.
        known: The class names of all splits.

    Raises:
        NoSuchLabel: It is not a label of the data.
    """
    return _READ[type(labels)](labels, cell, known)


def label_of(labels: AnyLabels, index: int) -> Any:
    """The label of a sample, as :func:`read_label` returns it."""
    return _OWN[type(labels)](labels, index)


def relabelled(labels: AnyLabels, changes: Mapping[int, Any]) -> AnyLabels:
    """The labels with other ones, from :func:`read_label`, by index."""
    return _CHANGE[type(labels)](labels, changes)


# -- one class -----------------------------------------------------------------------------------


def _read_class(_: Labels, cell: str, known: Sequence[str]) -> str:
    name = plain_label(cell)
    if name not in known:
        raise NoSuchLabel(name)
    return name


def _change_classes(labels: Labels, changes: Mapping[int, str]) -> Labels:
    names = tuple(dict.fromkeys([*labels.names, *changes.values()]))
    codes = labels.codes.copy()
    for index, name in changes.items():
        codes[index] = names.index(name)
    return replace(labels, names=names, codes=codes)


# -- several classes -------------------------------------------------------------------------------


def _read_set(_: LabelSets, cell: str, known: Sequence[str]) -> frozenset[str]:
    names = split_cell(cell)
    for name in names:
        if name not in known:
            raise NoSuchLabel(name)
    return frozenset(names)


def _change_sets(labels: LabelSets, changes: Mapping[int, frozenset[str]]) -> LabelSets:
    added = sorted(set().union(*changes.values()) - set(labels.names))
    names = (*labels.names, *added)
    flags = np.pad(labels.flags, ((0, 0), (0, len(added))))
    for index, chosen in changes.items():
        flags[index] = [name in chosen for name in names]
    return replace(labels, names=names, flags=flags)


# -- numbers ---------------------------------------------------------------------------------------


def _read_numbers(labels: Numbers, cell: str, _: Sequence[str]) -> tuple[float, ...]:
    try:
        given = json.loads(cell)
        values = tuple(
            float(np.float32(each)) for each in (given if isinstance(given, list) else [given])
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise NoSuchLabel(cell) from error
    if len(values) != len(labels.names) or not np.isfinite(values).all():
        raise NoSuchLabel(cell)
    return values


def _change_numbers(labels: Numbers, changes: Mapping[int, tuple[float, ...]]) -> Numbers:
    values = labels.values.copy()
    for index, row in changes.items():
        values[index] = row
    return replace(labels, values=values)


_READ: Mapping[type, Callable[[Any, str, Sequence[str]], Any]] = {
    Labels: _read_class,
    LabelSets: _read_set,
    Numbers: _read_numbers,
}
_OWN: Mapping[type, Callable[[Any, int], Any]] = {
    Labels: lambda labels, i: labels.names[labels.codes[i]],
    LabelSets: lambda labels, i: frozenset(
        name for name, has in zip(labels.names, labels.flags[i], strict=True) if has
    ),
    Numbers: lambda labels, i: tuple(map(float, labels.values[i])),
}
_CHANGE: Mapping[type, Callable[[Any, Mapping[int, Any]], AnyLabels]] = {
    Labels: _change_classes,
    LabelSets: _change_sets,
    Numbers: _change_numbers,
}
