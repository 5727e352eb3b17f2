"""Labels as they are read: one class, a set of classes, or numbers for each sample of a split."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices, Inputs
from zoo.data.table import Table
from zoo.errors import DataError


def plain_label(text: str) -> str:
    """A label without the blanks around it, in Unicode's composed form.

    A name typed on a Mac may come decomposed (e + accent), the same name from elsewhere not.
    """
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True)
class Labels:
    """Class names and, for each sample, an index into them. A name may have no sample."""

    names: tuple[str, ...]
    codes: Indices
    ordered: bool = False  # whether the order of the names is the publisher's and is kept
    exact: bool = False  # whether names that look like one number are different classes

    nouns: ClassVar[str] = "classes"
    columns: ClassVar[bool] = False  # whether the names are of columns, and not of classes
    least: ClassVar[int] = 2  # names that it takes

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> Indices:
        """Samples by name."""
        counts: Indices = np.bincount(self.codes, minlength=len(self.names))
        return counts

    def take(self, indices: Indices) -> Labels:
        return replace(self, codes=self.codes[indices])

    def occurring(self) -> Labels:
        """Without the names that no sample has, unless the publisher has ordered them."""
        used = np.flatnonzero(self.counts())
        if self.ordered or len(used) == len(self.names):
            return self
        names = tuple(self.names[i] for i in used)
        return replace(self, names=names, codes=np.searchsorted(used, self.codes))

    def renamed(self, names: Mapping[str, str]) -> Labels:
        """Under other names; those that become the same are one class."""
        merged, index = _merged(self.names, names)
        return replace(self, names=merged, codes=index[self.codes])

    def groups(self) -> list[Indices] | None:
        """The samples of each class; ``None`` where a sample may be of several, or of none."""
        return [np.flatnonzero(self.codes == code) for code in range(len(self.names))]

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N,)`` of int64: the places that ``classes`` gives the names."""
        table = np.array([classes.get(name, -1) for name in self.names], dtype=np.int64)
        return table[self.codes]


@dataclass(frozen=True)
class LabelSets:
    """Class names and, for each sample, which of them it has: ``flags`` is ``(N, names)``."""

    names: tuple[str, ...]
    flags: NDArray[np.bool_]
    ordered: bool = False

    exact: ClassVar[bool] = False
    nouns: ClassVar[str] = "classes"
    columns: ClassVar[bool] = False
    least: ClassVar[int] = 1

    def __len__(self) -> int:
        return len(self.flags)

    def counts(self) -> Indices:
        """Samples by name."""
        counts: Indices = self.flags.sum(axis=0, dtype=np.int64)
        return counts

    def take(self, indices: Indices) -> LabelSets:
        return replace(self, flags=self.flags[indices])

    def occurring(self) -> LabelSets:
        """Without the names that no sample has, unless the publisher has ordered them."""
        if self.ordered:
            return self
        used = np.flatnonzero(self.counts())
        return replace(self, names=tuple(self.names[i] for i in used), flags=self.flags[:, used])

    def renamed(self, names: Mapping[str, str]) -> LabelSets:
        """Under other names; those that become the same are one class."""
        merged, index = _merged(self.names, names)
        flags = np.zeros((len(self.flags), len(merged)), dtype=np.bool_)
        for old, new in enumerate(index):
            flags[:, new] |= self.flags[:, old]
        return replace(self, names=merged, flags=flags)

    def groups(self) -> list[Indices] | None:
        """None: a sample may be of several."""
        return None

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N, classes)`` of float32: 1 for each class that a sample has, else 0."""
        array = np.zeros((len(self.flags), len(classes)), dtype=np.float32)
        for place, name in enumerate(self.names):
            if name in classes:
                array[:, classes[name]] = self.flags[:, place]
        return array


@dataclass(frozen=True)
class Numbers:
    """Names of columns and, for each sample, their numbers: ``values`` is ``(N, names)``."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    ordered: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    nouns: ClassVar[str] = "columns of numbers"
    columns: ClassVar[bool] = True
    least: ClassVar[int] = 1

    def __len__(self) -> int:
        return len(self.values)

    def counts(self) -> Indices:
        """Samples by name: all of them."""
        return np.full(len(self.names), len(self.values), dtype=np.int64)

    def take(self, indices: Indices) -> Numbers:
        return replace(self, values=self.values[indices])

    def occurring(self) -> Numbers:
        """As it is: every sample has all of the numbers."""
        return self

    def renamed(self, names: Mapping[str, str]) -> Numbers:
        """With the columns under other names."""
        return replace(self, names=tuple(names[name] for name in self.names))

    def groups(self) -> list[Indices] | None:
        """None: there are no classes."""
        return None

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N, targets)`` of float32, the columns in the places that ``classes`` gives them."""
        order = sorted(range(len(self.names)), key=lambda i: classes[self.names[i]])
        return self.values[:, order]


AnyLabels: TypeAlias = Labels | LabelSets | Numbers


@dataclass(frozen=True)
class Cells:
    """The labels of all rows of a table.

    Attributes:
        labels: Those without a usable label hold something that means nothing. ``None`` where
            no row has one, as in many published test splits.
        faults: Why rows cannot be used, by their number from 0.
        note: How the labels were understood, where that had to be guessed.
    """

    labels: AnyLabels | None
    faults: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


class LabelKind(Protocol):
    """What kind of labels a dataset has, as the sources see it: they know no task; a task is one.

    Where the user names no task, the sources are handed several, in the order in which they are
    asked whether they claim a column. The last is not asked: it takes what no other claims.
    """

    @property
    def name(self) -> str:
        """As in ``--task``."""

    @property
    def labels(self) -> type[Any]:
        """What its labels are read as: :class:`Labels`, :class:`LabelSets` or :class:`Numbers`."""

    @property
    def usual_columns(self) -> Sequence[str]:
        """What its columns are called where the user does not say; the first that is there counts."""

    @property
    def wanted(self) -> str:
        """What a column of it holds, in words: ``labels``."""

    def claims(self, table: Table, columns: Sequence[str]) -> bool:
        """Whether ``columns`` hold its labels."""

    def read(self, table: Table, columns: Sequence[str]) -> Cells:
        """The labels in ``columns``.

        Raises:
            DataError: The columns hold something else.
        """

    def split(self, labels: LabelArray, share: float, seed: int) -> tuple[Indices, Indices]:
        """Indices for training and for validation, ascending; the latter may be empty.

        Args:
            labels: ``(N,)`` or ``(N, outputs)``.
            share: How much validates, in (0, 1).
            seed: Decides which.
        """

    def too_few(self, labels: Any) -> tuple[str, str]:
        """Where a split leaves nothing to validate on: what there is, and further advice."""

    def require_variety(self, labels: LabelArray, where: str, names: Sequence[str]) -> None:
        """Raise a :class:`DataError` if nothing can be learned from the labels of the training split."""


@dataclass(frozen=True)
class Part:
    """A split as it was read, before classes are agreed on.

    Attributes:
        where: How errors call it, e.g. ``photos/train`` or ``reviews.csv``.
        inputs: Its inputs.
        labels: Its labels; ``None`` where it has none, as many test splits.
        others: Files among the inputs that are none, by their names.
        columns: Those of a table that the inputs, and the labels, were read from.
        rows: Of a table: the number of each input's row, from 0.
        task: What kind of labels they are; ``None`` where there are none.
    """

    where: str
    inputs: Inputs
    labels: AnyLabels | None
    others: tuple[str, ...] = ()
    columns: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    rows: Indices | None = None
    task: LabelKind | None = None

    def take(self, indices: Indices) -> Part:
        labels = None if self.labels is None else self.labels.take(indices)
        rows = None if self.rows is None else self.rows[indices]
        return replace(self, inputs=self.inputs.take(indices), labels=labels, rows=rows)

    @property
    def known(self) -> AnyLabels:
        """The labels of a split that must have them."""
        if self.labels is None:
            raise DataError(
                f"{self.where} has no labels",
                hint="Name the column that holds them with --label-column.",
            )
        return self.labels

    @property
    def known_task(self) -> LabelKind:
        """The kind of the labels of a split that must have them."""
        assert self.known is not None
        assert self.task is not None
        return self.task


def _merged(old: tuple[str, ...], names: Mapping[str, str]) -> tuple[tuple[str, ...], Indices]:
    """The new names, each once, and for each old name the place of its new one."""
    merged = tuple(dict.fromkeys(names[name] for name in old))
    place = {name: i for i, name in enumerate(merged)}
    return merged, np.array([place[names[name]] for name in old], dtype=np.int64)
