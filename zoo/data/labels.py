"""The labels of a split: one class, a set of classes, or numbers per sample."""

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
    """Strip a label and normalise it to NFC.

    File names from a Mac may be decomposed (e + accent), the same names from elsewhere not.
    """
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True)
class Labels:
    """Class names and, for each sample, an index into them. A class may have no samples."""

    names: tuple[str, ...]
    codes: Indices
    ordered: bool = False  # whether the dataset defines the order of the names
    exact: bool = False  # whether 1 and 1.0 are different classes

    nouns: ClassVar[str] = "classes"
    columns: ClassVar[bool] = False  # whether the names are target columns rather than classes
    min_outputs: ClassVar[int] = 2

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> Indices:
        """Samples per class."""
        counts: Indices = np.bincount(self.codes, minlength=len(self.names))
        return counts

    def take(self, indices: Indices) -> Labels:
        return replace(self, codes=self.codes[indices])

    def occurring(self) -> Labels:
        """Without unused classes, unless the dataset defines their order."""
        used = np.flatnonzero(self.counts())
        if self.ordered or len(used) == len(self.names):
            return self
        names = tuple(self.names[i] for i in used)
        return replace(self, names=names, codes=np.searchsorted(used, self.codes))

    def renamed(self, names: Mapping[str, str]) -> Labels:
        """With other names; classes that get the same name are merged."""
        merged, index = _merged(self.names, names)
        return replace(self, names=merged, codes=index[self.codes])

    def groups(self) -> list[Indices] | None:
        """The samples of each class; ``None`` if classes do not partition the samples."""
        return [np.flatnonzero(self.codes == code) for code in range(len(self.names))]

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N,)`` of int64: class indices; -1 for a class that is not in ``classes``."""
        table = np.array([classes.get(name, -1) for name in self.names], dtype=np.int64)
        return table[self.codes]


@dataclass(frozen=True)
class LabelSets:
    """Class names and, for each sample, the classes it has: ``flags`` is ``(N, names)``."""

    names: tuple[str, ...]
    flags: NDArray[np.bool_]
    ordered: bool = False

    exact: ClassVar[bool] = False
    nouns: ClassVar[str] = "classes"
    columns: ClassVar[bool] = False
    min_outputs: ClassVar[int] = 1

    def __len__(self) -> int:
        return len(self.flags)

    def counts(self) -> Indices:
        """Samples per class."""
        counts: Indices = self.flags.sum(axis=0, dtype=np.int64)
        return counts

    def take(self, indices: Indices) -> LabelSets:
        return replace(self, flags=self.flags[indices])

    def occurring(self) -> LabelSets:
        """Without unused classes, unless the dataset defines their order."""
        if self.ordered:
            return self
        used = np.flatnonzero(self.counts())
        return replace(self, names=tuple(self.names[i] for i in used), flags=self.flags[:, used])

    def renamed(self, names: Mapping[str, str]) -> LabelSets:
        """With other names; classes that get the same name are merged."""
        merged, index = _merged(self.names, names)
        flags = np.zeros((len(self.flags), len(merged)), dtype=np.bool_)
        for old, new in enumerate(index):
            flags[:, new] |= self.flags[:, old]
        return replace(self, names=merged, flags=flags)

    def groups(self) -> list[Indices] | None:
        """None: a sample may have several classes."""
        return None

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N, classes)`` of float32: multi-hot."""
        array = np.zeros((len(self.flags), len(classes)), dtype=np.float32)
        for place, name in enumerate(self.names):
            if name in classes:
                array[:, classes[name]] = self.flags[:, place]
        return array


@dataclass(frozen=True)
class Numbers:
    """Target columns and their values: ``values`` is ``(N, names)``."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    ordered: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    nouns: ClassVar[str] = "target columns"
    columns: ClassVar[bool] = True
    min_outputs: ClassVar[int] = 1

    def __len__(self) -> int:
        return len(self.values)

    def counts(self) -> Indices:
        """Samples per column: all of them."""
        return np.full(len(self.names), len(self.values), dtype=np.int64)

    def take(self, indices: Indices) -> Numbers:
        return replace(self, values=self.values[indices])

    def occurring(self) -> Numbers:
        """Unchanged: every sample has all targets."""
        return self

    def renamed(self, names: Mapping[str, str]) -> Numbers:
        """With other column names."""
        return replace(self, names=tuple(names[name] for name in self.names))

    def groups(self) -> list[Indices] | None:
        """None: there are no classes."""
        return None

    def as_array(self, classes: Mapping[str, int]) -> LabelArray:
        """``(N, targets)`` of float32, the columns in the order of ``classes``."""
        order = sorted(range(len(self.names)), key=lambda i: classes[self.names[i]])
        return self.values[:, order]


AnyLabels: TypeAlias = Labels | LabelSets | Numbers


@dataclass(frozen=True)
class Cells:
    """The labels of all rows of a table.

    Attributes:
        labels: One per row, arbitrary for rows in ``faults``. ``None`` if no row has a label, as
            in many published test splits.
        faults: Why rows cannot be used, by row index.
        note: How the labels were interpreted, if that is a guess.
    """

    labels: AnyLabels | None
    faults: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


class LabelKind(Protocol):
    """What the data sources need from a task.

    With ``--task auto`` the sources get several. Each in turn is asked whether it claims a column;
    the last one takes what no other claims.
    """

    @property
    def name(self) -> str:
        """The name in ``--task``."""

    @property
    def labels(self) -> type[Any]:
        """The type of its labels: :class:`Labels`, :class:`LabelSets` or :class:`Numbers`."""

    @property
    def usual_columns(self) -> Sequence[str]:
        """Default names of label columns, in order of preference."""

    @property
    def labels_noun(self) -> str:
        """What a label column holds, for messages: ``labels``."""

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
            share: The validation share, in (0, 1).
            seed: Determines the split.
        """

    def strata(self, labels: LabelArray) -> Indices | None:
        """``(N,)``: classes by which parts of the data are stratified; ``None`` for none."""

    def too_few(self, labels: Any) -> tuple[str, str]:
        """Why no sample can be held out for validation, and further advice."""

    def require_variety(self, labels: LabelArray, where: str, names: Sequence[str]) -> None:
        """Raise a :class:`DataError` if the training labels are constant."""


@dataclass(frozen=True)
class Part:
    """A split as it was read, before the classes of all splits are merged.

    Attributes:
        where: Its name in messages, e.g. ``photos/train`` or ``reviews.csv``.
        inputs: Its inputs.
        labels: Its labels; ``None`` if it has none, as many test splits.
        others: Names of ignored files among the inputs.
        columns: The table columns of the inputs, and of the labels.
        rows: For a table, the row index of each input.
        task: The task of the labels; ``None`` without labels.
        table: The table, if it was read from one.
        groups: ``(N,)``, the name of each sample's group; ``None`` if no groups were asked for.
    """

    where: str
    inputs: Inputs
    labels: AnyLabels | None
    others: tuple[str, ...] = ()
    columns: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    rows: Indices | None = None
    task: LabelKind | None = None
    table: Table | None = None
    groups: NDArray[np.str_] | None = None

    def take(self, indices: Indices) -> Part:
        labels = None if self.labels is None else self.labels.take(indices)
        rows = None if self.rows is None else self.rows[indices]
        groups = None if self.groups is None else self.groups[indices]
        inputs = self.inputs.take(indices)
        return replace(self, inputs=inputs, labels=labels, rows=rows, groups=groups)

    @property
    def known(self) -> AnyLabels:
        """The labels; a split without labels is an error."""
        if self.labels is None:
            raise DataError(
                f"{self.where} has no labels",
                hint="Name the label column with --label-column.",
            )
        return self.labels

    @property
    def known_task(self) -> LabelKind:
        """The task of the labels; a split without labels is an error."""
        assert self.known is not None
        assert self.task is not None
        return self.task


def _merged(old: tuple[str, ...], names: Mapping[str, str]) -> tuple[tuple[str, ...], Indices]:
    """The distinct new names, and for each old name the index of its new one."""
    merged = tuple(dict.fromkeys(names[name] for name in old))
    place = {name: i for i, name in enumerate(merged)}
    return merged, np.array([place[names[name]] for name in old], dtype=np.int64)
