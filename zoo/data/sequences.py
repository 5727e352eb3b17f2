"""Lazy sequences of inputs: in memory, files of a folder, columns of a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import datasets

Indices: TypeAlias = npt.NDArray[np.int64]

Pair: TypeAlias = tuple[str, str]
"""A text pair."""

Raw: TypeAlias = Any
"""One stored input: a path, encoded bytes, an object in memory or a text pair, by modality."""


class Inputs(Protocol):
    """A sequence of inputs that is cheap to index and to send to a worker process."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Raw: ...

    def name(self, index: int) -> str:
        """The name of the input in messages and reports: a path, or a row number."""
        ...

    def take(self, indices: Indices) -> Inputs: ...


@dataclass(frozen=True)
class Listed:
    """Inputs in memory with their names."""

    objects: ClassVar[bool] = True

    items: tuple[Raw, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Raw:
        return self.items[index]

    def name(self, index: int) -> str:
        return self.names[index]

    def take(self, indices: Indices) -> Listed:
        return Listed(tuple(self.items[i] for i in indices), tuple(self.names[i] for i in indices))


def in_memory(inputs: Inputs) -> bool:
    """Whether inputs are objects of this process, rather than files or memory-mapped."""
    return bool(getattr(inputs, "objects", False))


@dataclass(frozen=True)
class Paths:
    """Files in a folder, as one array of bytes: a hundred thousand paths take about 10 MB.

    Python strings would be copied page by page into every worker process, because reading one
    changes its reference count.
    """

    folder: str
    relative: npt.NDArray[np.bytes_]

    @classmethod
    def under(cls, folder: str | os.PathLike[str], relative: Sequence[str]) -> Paths:
        encoded = [os.fsencode(path) for path in relative]
        return cls(os.fspath(folder), np.array(encoded, dtype=np.bytes_))

    def __len__(self) -> int:
        return len(self.relative)

    def __getitem__(self, index: int) -> str:
        return os.path.join(self.folder, os.fsdecode(bytes(self.relative[index])))

    def name(self, index: int) -> str:
        return self[index]

    def take(self, indices: Indices) -> Paths:
        return Paths(self.folder, self.relative[indices])


@dataclass(frozen=True)
class Renamed:
    """Inputs with replaced name prefixes.

    Attributes:
        inputs: The inputs.
        folders: Pairs of old and new prefix; the first match applies.
    """

    inputs: Inputs
    folders: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Raw:
        return self.inputs[index]

    def name(self, index: int) -> str:
        name = self.inputs.name(index)
        for before, after in self.folders:
            if name.startswith(f"{before}{os.sep}"):
                return os.path.join(after, name[len(before) + 1 :])
        return name

    def take(self, indices: Indices) -> Renamed:
        return replace(self, inputs=self.inputs.take(indices))


@dataclass(frozen=True)
class Column:
    """A column of a memory-mapped table; pickles as the path of its Arrow file.

    ``title`` names the table in messages; rows are counted from 1, without the header.
    """

    table: datasets.Dataset
    column: str
    rows: Indices
    title: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Raw:
        value: Any = self.table.data.column(self.column)[int(self.rows[index])].as_py()
        if isinstance(value, dict):  # a file in Arrow: its bytes or its path
            value = value.get("bytes") or value.get("path")
        raw: Raw = value
        return raw

    def name(self, index: int) -> str:
        return f"{self.title} row {int(self.rows[index]) + 1}"

    def take(self, indices: Indices) -> Column:
        return replace(self, rows=self.rows[indices])


@dataclass(frozen=True)
class Pairs:
    """Two text columns, row by row; a pair has the name of its first text."""

    first: Column
    second: Column

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, index: int) -> Pair:
        return str(self.first[index]), str(self.second[index])

    def name(self, index: int) -> str:
        return self.first.name(index)

    def take(self, indices: Indices) -> Pairs:
        return Pairs(self.first.take(indices), self.second.take(indices))


@dataclass(frozen=True)
class Joined:
    """Inputs of several sequences, one after the other.

    Attributes:
        parts: The sequences.
        places: ``(N,)``, the index of each input in all of them.
    """

    parts: tuple[Inputs, ...]
    places: Indices

    @property
    def objects(self) -> bool:
        """Whether some are objects of this process."""
        return any(map(in_memory, self.parts))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Raw:
        part, place = self._found(index)
        return part[place]

    def name(self, index: int) -> str:
        part, place = self._found(index)
        return part.name(place)

    def take(self, indices: Indices) -> Joined:
        return replace(self, places=self.places[indices])

    def _found(self, index: int) -> tuple[Inputs, int]:
        place = int(self.places[index])
        for part in self.parts:
            if place < len(part):
                return part, place
            place -= len(part)
        raise IndexError(index)
