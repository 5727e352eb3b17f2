"""Class names: from what the data say to one list, and the checks that keep it honest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.data.samples import Indices, Inputs
from zoo.errors import ClassesError, DataError, closest

_INTEGER = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")


@dataclass(frozen=True)
class Labels:
    """Class names and, for each sample, an index into them. A name may have no sample."""

    names: tuple[str, ...]
    codes: Indices
    ordered: bool = False  # whether the order of the names is the publisher's and is kept

    def counts(self) -> Indices:
        counts: Indices = np.bincount(self.codes, minlength=len(self.names))
        return counts

    def take(self, indices: Indices) -> Labels:
        return Labels(self.names, self.codes[indices], self.ordered)

    def renamed(self, names: Mapping[str, str]) -> Labels:
        return Labels(tuple(names[name] for name in self.names), self.codes, self.ordered)


@dataclass(frozen=True)
class Part:
    """A split as it was read, before classes are agreed on.

    Attributes:
        where: How errors call it, e.g. ``photos/train`` or ``reviews.csv``.
        inputs: Its inputs.
        labels: Its labels; ``None`` where it has none, as many test splits.
    """

    where: str
    inputs: Inputs
    labels: Labels | None

    def take(self, indices: Indices) -> Part:
        labels = None if self.labels is None else self.labels.take(indices)
        return Part(self.where, self.inputs.take(indices), labels)

    @property
    def known(self) -> Labels:
        """The labels of a split that must have them."""
        if self.labels is None:
            raise DataError(
                f"{self.where} has no labels",
                hint="Name the column that holds them with --label-column.",
            )
        return self.labels


def encode(values: Iterable[Any]) -> Labels:
    """Labels from one name a sample."""
    index: dict[str, int] = {}
    codes = [index.setdefault(str(value), len(index)) for value in values]
    return Labels(tuple(index), np.array(codes, dtype=np.int64))


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted: by number where all are numbers, else as text."""
    distinct = set(names)
    try:
        return sorted(distinct, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(distinct)


def agree_on_numbers(parts: Mapping[str, Part], known: Sequence[str]) -> dict[str, Part]:
    """Write ``1.0`` as ``1`` where all labels of all splits are whole numbers.

    One file may hold ``1`` and another, because a row lacks its label, ``1.0``. A label with
    leading zeros is a text, and then all are left as they are.
    """
    labelled = {key: part for key, part in parts.items() if part.labels is not None}
    names = {name for part in labelled.values() for name in part.known.names} | set(known)
    if not all(_INTEGER.fullmatch(name) for name in names):
        return dict(parts)
    plain = {name: name if name in known else name.partition(".")[0] for name in names}
    return {
        key: part if part.labels is None else Part(part.where, part.inputs, _merge(part, plain))
        for key, part in parts.items()
    }


def _merge(part: Part, plain: Mapping[str, str]) -> Labels:
    renamed = part.known.renamed(plain)
    if len(set(renamed.names)) == len(renamed.names):
        return renamed
    names = tuple(dict.fromkeys(renamed.names))
    index = np.array([names.index(name) for name in renamed.names], dtype=np.int64)
    return Labels(names, index[renamed.codes], renamed.ordered)


def choose_classes(part: Part) -> tuple[str, ...]:
    """The class names of the training split, sorted unless the publisher has ordered them.

    Raises:
        ClassesError: A class has no sample, or there is only one class.
    """
    labels = part.known
    counts = labels.counts()
    empty = [name for name, count in zip(labels.names, counts, strict=True) if not count]
    if empty and not labels.ordered:
        raise ClassesError(
            f"{part.where} has nothing in {_list(empty)}",
            hint="Put pictures into the folder, or remove it.",
        )
    names = [name for name, count in zip(labels.names, counts, strict=True) if count]
    classes = tuple(names if labels.ordered else in_order(names))
    if len(classes) < 2:
        raise ClassesError(
            f"{part.where} has only one class, {_list(classes)}; at least two are needed"
            if classes
            else f"{part.where} has no samples"
        )
    return classes


def check_count(classes: Sequence[str], wanted: int | None, where: str) -> None:
    """Compare the number of classes with the one that the user gave.

    Raises:
        ClassesError: They differ; the message has both numbers and the names.
    """
    if wanted is not None and wanted != len(classes):
        raise ClassesError(
            f"--classes {wanted} was given, but {where} has {len(classes)} classes: "
            f"{_list(classes)}",
            hint=f"Give --classes {len(classes)}, or leave the option out.",
        )


def indices_of(part: Part, classes: Sequence[str], *, owner: str) -> Indices:
    """The labels of ``part`` as indices into ``classes``.

    Args:
        part: A split.
        classes: The class names of the training split.
        owner: Whose class names they are, for the message.

    Raises:
        ClassesError: A sample has a class that ``classes`` lacks.
    """
    labels = part.known
    position = {name: i for i, name in enumerate(classes)}
    used = [n for n, count in zip(labels.names, labels.counts(), strict=True) if count]
    unknown = [name for name in used if name not in position]
    if unknown:
        near = closest(unknown[0], classes, 1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ClassesError(
            f"{part.where} has {_list(unknown)}, which {owner} does not know.{guess}",
            hint=f"Its classes: {_list(classes)}.",
        )
    table = np.array([position.get(name, -1) for name in labels.names], dtype=np.int64)
    return table[labels.codes]


def _list(names: Sequence[str], shown: int = 12) -> str:
    text = ", ".join(repr(name) for name in names[:shown])
    return f"{text}, … ({len(names)} in all)" if len(names) > shown else text


def stratified_split(labels: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Indices for training and for validation, each in ascending order.

    Of every class about ``share`` goes to validation, and at least one sample to each side; a
    class with a single sample is trained on and not validated.

    Raises:
        DataError: ``share`` does not lie between 0 and 1.
    """
    check_share(share)
    generator = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        held_out.append(members[:count])
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(held_out)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def check_share(share: float) -> None:
    """Raise a :class:`DataError` unless ``share`` lies between 0 and 1."""
    if not 0 < share < 1:
        raise DataError(
            f"a validation share of {share} was given; it must lie between 0 and 1",
            hint="The usual one is --val-split 0.2.",
        )
