"""Inputs given one by one, in a list or by a torch dataset, with their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from zoo.data.kind import InputKind
from zoo.data.sequences import Indices, Inputs, Listed, Paths, Raw
from zoo.errors import DataError, first_line


@dataclass(frozen=True)
class DatasetItems:
    """Inputs of a map-style torch dataset, read when they are needed.

    Attributes:
        dataset: Gives ``(input, label)``.
        rows: The index of each input in the dataset.
        title: The dataset's name in messages.
    """

    dataset: Any
    rows: Indices
    title: str

    objects: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Raw:
        return item_of(self.dataset, int(self.rows[index]), self.title)[0]

    def name(self, index: int) -> str:
        return f"{self.title} item {int(self.rows[index]) + 1}"

    def take(self, indices: Indices) -> DatasetItems:
        return replace(self, rows=self.rows[indices])


def item_of(dataset: Any, index: int, title: str) -> tuple[Any, Any]:
    """Input and label of an item of a torch dataset.

    Raises:
        DataError: The dataset raised an error, or the item is something else.
    """
    try:
        item = dataset[index]
    except Exception as error:  # the user's own code
        raise DataError(
            f"{title} raised an error at index {index}: {first_line(error, kind=True)}",
            hint="Fix the dataset: each of its items must be (input, label).",
        ) from error
    if not is_labelled(item):
        raise DataError(
            f"item {index + 1} of {title} is a {type(item).__name__}, not (input, label)",
            hint="A dataset must yield tuples of an input and its label.",
        )
    return item[0], item[1]


_READ_TWICE = 8
"""Items that are read twice to find random transforms; a flip of every other one hides in 1 of 256."""


def random_transforms(dataset: Any, title: str) -> str:
    """A note if items of a torch dataset differ when they are read again; empty if they do not."""
    for index in range(min(_READ_TWICE, len(dataset))):
        first, second = (item_of(dataset, index, title)[0] for _ in range(2))
        if not _same(first, second):
            return (
                f"items of {title} differ each time they are read: its random transforms also change "
                "validation samples, features are cached of one variant, and the run cannot be resumed; "
                "remove them, as training has zoo's own augmentation"
            )
    return ""


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, (tuple, list)) and isinstance(second, (tuple, list)):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(
            _same(first[key], second[key]) for key in first
        )
    if hasattr(first, "__array__") or hasattr(first, "__array_interface__"):
        one, other = np.asarray(first), np.asarray(second)
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(first == second)


def is_labelled(item: Any) -> bool:
    """Whether an item is ``(input, label)``."""
    return isinstance(item, (tuple, list)) and len(item) == 2


def listed_inputs(items: Sequence[Any], kind: InputKind, title: str) -> Inputs:
    """The inputs of a list: paths, or objects that the modality takes.

    Raises:
        DataError: One is something else.
    """
    for number, item in enumerate(items, start=1):
        if not _is_input(item, kind):
            raise DataError(
                f"item {number} of {title} is a {type(item).__name__}, but the model takes "
                f"{kind.nouns}",
                hint=f"Use (input, label), with {kind.inputs_in_words} as inputs.",
            )
    first = items[0] if items else ""
    if kind.in_files and isinstance(first, str) and not _may_be_file(first, kind):
        raise DataError(
            f"the model takes {kind.nouns}, but item 1 of {title} is a text: {first[:40]!r}",
            hint=f"Use paths of {kind.nouns}, or choose a backbone for texts.",
        )
    if kind.in_files and all(isinstance(item, (str, os.PathLike)) for item in items):
        return Paths.under("", [os.path.expanduser(item) for item in items])
    names = [
        os.fspath(item) if isinstance(item, (str, os.PathLike)) else f"{title} item {number}"
        for number, item in enumerate(items, start=1)
    ]
    return Listed(tuple(items), tuple(names))


def _may_be_file(text: str, kind: InputKind) -> bool:
    return kind.is_file(text) or os.path.exists(os.path.expanduser(text))


def _is_input(item: Any, kind: InputKind) -> bool:
    if isinstance(item, str):
        return True
    return kind.in_files and (isinstance(item, os.PathLike) or kind.in_memory(item))


def plain_label(label: Any) -> Any:
    """A label as a plain value: of NumPy and torch their Python value, ``None`` where it is missing."""
    if hasattr(label, "tolist"):  # scalars and arrays
        label = label.tolist()
    if isinstance(label, float) and label != label:
        return None
    return list(label) if isinstance(label, (tuple, set, frozenset)) else label
