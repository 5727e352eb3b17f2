"""Objects in memory as tables, with their inputs beside them where a table cannot hold these."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.kind import InputKind
from zoo.data.memory.items import (
    DatasetItems,
    is_labelled,
    item_of,
    listed_inputs,
    plain_label,
    random_transforms,
)
from zoo.data.sequences import Inputs, Listed
from zoo.data.sources.tables import quiet
from zoo.data.table import Table
from zoo.errors import DataError, first_line

if TYPE_CHECKING:
    import datasets
    import pandas

TEXT, SECOND, LABEL = "text", "text_pair", "label"
"""The columns of a table that is made from a list."""


@dataclass(frozen=True)
class GivenSplit:
    """A split in memory.

    Attributes:
        table: Its labels, and its inputs unless they are given beside it.
        inputs: The inputs, row by row; ``None`` if they are in the table.
        columns: The input columns of a table that was made here.
        note: What the user should know of it; empty for nothing.
    """

    table: Table
    inputs: Inputs | None = None
    columns: tuple[str, ...] = ()
    note: str = ""


def given_split(data: Any, kind: InputKind, title: str) -> GivenSplit:
    """One split from an object in memory.

    Raises:
        DataError: It is of a type that cannot be read, or is empty.
    """
    if _is_a(data, "pandas", "DataFrame"):
        split = _of_frame(data, kind, title)
    elif _is_a(data, "datasets", "Dataset"):
        split = GivenSplit(Table(_flat(data), title, Path()))
    elif isinstance(data, (list, tuple, np.ndarray)):
        split = _of_list(list(data), kind, title)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not _is_text(data):
        split = _of_dataset(data, kind, title)
    else:
        raise DataError(
            f"data in memory cannot be of type {type(data).__name__}",
            hint="Use a list of (input, label), such as list(zip(inputs, labels)), a pandas "
            "DataFrame, a datasets.Dataset, a torch Dataset with a length, or a path.",
        )
    if not len(split.table.data):
        raise DataError(f"{title} has no rows", hint="Add samples.")
    return split


def is_table(data: Any) -> bool:
    """Whether ``data`` is a pandas DataFrame or a ``datasets.Dataset``."""
    return _is_a(data, "pandas", "DataFrame") or _is_a(data, "datasets", "Dataset")


def _is_a(data: Any, module: str, name: str) -> bool:
    """Whether ``data`` is of a class of a library, which is not imported for that."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(data, kind)


def _is_text(data: Any) -> bool:
    return isinstance(data, (str, bytes, Mapping))


def _flat(data: datasets.Dataset) -> datasets.Dataset:
    """With its rows in their order: after ``shuffle`` or ``select`` they are another's, by index."""
    if data._indices is None:
        return data
    with quiet():
        return data.flatten_indices()


def _of_frame(frame: pandas.DataFrame, kind: InputKind, title: str) -> GivenSplit:
    """A DataFrame; a column of images or arrays becomes the inputs."""
    inputs: Inputs | None = None
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if column.dtype == object and _holds_objects(column, kind):
            items = tuple(item if kind.in_memory(item) else None for item in column)
            inputs = Listed(items, tuple(f"{title} row {i + 1}" for i in range(len(items))))
            frame = frame.drop(columns=[name])
            if not len(frame.columns):
                return GivenSplit(_labels_table(None, len(items), title), inputs)
            break
    return GivenSplit(Table(_arrow_of(frame, title), title, Path()), inputs)


def _holds_objects(column: Any, kind: InputKind) -> bool:
    first = next((item for item in column if item is not None), None)
    return not isinstance(first, (str, bytes)) and kind.in_files and kind.in_memory(first)


def _arrow_of(frame: pandas.DataFrame, title: str) -> datasets.Dataset:
    import datasets

    plain = frame.astype(
        {
            name: object
            for name, dtype in frame.dtypes.items()
            if getattr(dtype, "name", "") == "category"
        }
    )
    plain.columns = [str(name) for name in plain.columns]
    try:
        return datasets.Dataset.from_pandas(plain, preserve_index=False)
    except Exception as error:  # pyarrow's, for mixed types and objects
        raise DataError(
            f"{title} cannot be read as a table: {first_line(error)}",
            hint="Each column must hold values of one type; drop the columns that are not needed.",
        ) from error


def _of_list(items: Sequence[Any], kind: InputKind, title: str) -> GivenSplit:
    """A list of ``(input, label)``, or of inputs without labels."""
    if not items:
        raise DataError(f"{title} is empty", hint="Give at least one (input, label).")
    labelled = is_labelled(items[0])
    wrong = next((i for i, item in enumerate(items) if is_labelled(item) != labelled), None)
    if wrong is not None:
        expected = "(input, label)" if labelled else "an input without a label"
        raise DataError(
            f"item {wrong + 1} of {title} is a {type(items[wrong]).__name__}, expected {expected} "
            "like the first",
            hint="Give each item a label, as a tuple (input, label).",
        )
    labels = [plain_label(item[1]) for item in items] if labelled else None
    return _beside([item[0] for item in items] if labelled else items, labels, kind, title)


def _beside(
    given: Sequence[Any], labels: Sequence[Any] | None, kind: InputKind, title: str
) -> GivenSplit:
    if kind.in_files:
        inputs = listed_inputs(given, kind, title)
        return GivenSplit(_labels_table(labels, len(given), title), inputs)
    pairs = all(isinstance(item, (tuple, list)) and len(item) == 2 for item in given)
    names = (TEXT, SECOND) if pairs and kind.most_columns == 2 else (TEXT,)
    texts = list(zip(*given, strict=True)) if len(names) == 2 else [given]
    for column in texts:
        listed_inputs([text for text in column if text is not None], kind, title)
    columns = {name: list(column) for name, column in zip(names, texts, strict=True)}
    return GivenSplit(_table(columns, labels, title), columns=names)


def _labels_table(labels: Sequence[Any] | None, count: int, title: str) -> Table:
    return _table({} if labels is not None else {"input": [""] * count}, labels, title)


def _table(columns: dict[str, list[Any]], labels: Sequence[Any] | None, title: str) -> Table:
    import datasets

    label = {} if labels is None else {LABEL: _of_one_type(labels)}
    try:
        return Table(datasets.Dataset.from_dict({**columns, **label}), title, Path())
    except Exception as error:  # pyarrow's, for labels that are neither text, number nor list
        raise DataError(
            f"the labels of {title} cannot be read: {first_line(error)}",
            hint="Use strings or integers; numbers for regression; lists for several labels.",
        ) from error


def _of_one_type(labels: Sequence[Any]) -> list[Any]:
    """The labels; as text where some are text and others numbers."""
    kinds = {type(label) for label in labels if label is not None}
    if str not in kinds or len(kinds) == 1:
        return list(labels)
    return [label if label is None or isinstance(label, list) else str(label) for label in labels]


def _of_dataset(dataset: Any, kind: InputKind, title: str) -> GivenSplit:
    """A map-style torch dataset; each item is read once for its label, images again when needed."""
    count = len(dataset)
    if not count:
        raise DataError(f"{title} has no items", hint="Add samples.")
    targets = getattr(dataset, "targets", None)
    known = (
        targets is not None
        and len(targets) == count
        and getattr(dataset, "target_transform", None) is None
    )
    first, _ = item_of(dataset, 0, title)
    if not kind.in_files:
        _beside([first], None, kind, title)  # before all others are read
        items = [item_of(dataset, i, title) for i in range(count)]
        return _of_list(items, kind, title)
    listed_inputs([first], kind, title)
    labels = (
        [plain_label(label) for label in targets]
        if known and targets is not None
        else [plain_label(item_of(dataset, i, title)[1]) for i in range(count)]
    )
    table = _labels_table(_class_names(dataset, labels), count, title)
    note = random_transforms(dataset, title)
    return GivenSplit(table, DatasetItems(dataset, np.arange(count), title), note=note)


def _class_names(dataset: Any, labels: Sequence[Any]) -> Sequence[Any]:
    """The labels by the dataset's own class names, where it has ``classes`` as torchvision's do."""
    while _is_a(dataset, "torch.utils.data", "Subset"):  # of random_split, for example
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        return labels
    if not all(type(label) is int and 0 <= label < len(names) for label in labels):
        return labels
    return [names[label] for label in labels]
