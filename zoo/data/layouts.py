"""Detect the layout of a dataset: split folders, class folders, tables or a Hub dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from zoo.data.classes import refuse_numeric_labels
from zoo.data.group_source import NO_GROUPS, GroupSource
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.memory.layout import given_splits, read_given
from zoo.data.memory.source import is_in_memory, is_path
from zoo.data.memory.tables import GivenSplit
from zoo.data.reports import Findings
from zoo.data.sources.columns import Columns, read_part, require_labels
from zoo.data.sources.folders import read_class_folders
from zoo.data.sources.readers import reader_of_scheme
from zoo.data.sources.split_columns import by_split_column, refuse_other_splits
from zoo.data.sources.split_folders import (
    has_labels_in_table,
    refuse_splits_as_classes,
    split_folders,
    with_files_found,
)
from zoo.data.sources.tables import find_tables, looks_like_table, read_source, read_table, suffixes
from zoo.data.sources.unlisted import note_unlisted
from zoo.data.sources.walk import holds_files
from zoo.data.table import Table
from zoo.errors import DataError
from zoo.system.files import is_utf8

Reader: TypeAlias = Callable[[bool, Sequence[LabelKind]], Part]
"""Reads one split, given whether it must have labels and the possible tasks."""

Layout: TypeAlias = Mapping[str, Reader]
"""Readers by split: ``train``, ``val``, ``test``, or ``all`` for data without splits."""


@dataclass(frozen=True)
class DataRequest:
    """The data that the user asks for.

    Attributes:
        source: A path, ``hf:…``, or the name of data in memory.
        kind: The modality of the backbone.
        columns: The columns that the user named.
        findings: Collects unusable inputs and notes.
        val_split: The validation share, in (0, 1), if the data has no validation split.
        seed: Determines that split.
        tasks: The possible tasks; the first that claims the labels is used.
        given: The data in memory, if it is not a path.
        groups: Where the group of a sample is found.
        corrections: A file of decisions on labels.
        test_split: The share that is set aside if the data has no test split; 0 for none.
    """

    source: str
    kind: InputKind
    columns: Columns
    findings: Findings
    val_split: float
    seed: int
    tasks: Sequence[LabelKind]
    given: Any = None
    groups: GroupSource = NO_GROUPS
    corrections: str | None = None
    test_split: float = 0.0


def layout_of(request: DataRequest) -> Layout:
    """Readers for the splits of the requested data.

    Raises:
        DataError: The source does not exist, or does not hold inputs of the modality.
    """
    if not is_path(request.given) and request.given is not None:
        return _in_memory(request)
    if reader := reader_of_scheme(request.source):
        return _tables(request, read_source(request.source, reader))
    if is_in_memory(request.source):
        raise DataError(
            f"{request.source} was data in memory, which is not available now",
            hint="In Python, pass it again: zoo.resume(RUN, data=…), zoo.rerun(RUN, data=…), "
            "run.evaluate(data) or run.report(data=…). Or use a folder or table with --data PATH.",
        )
    path = Path(os.path.expanduser(request.source))
    if not is_utf8(path):
        raise DataError(
            f"the name of {path} is not valid UTF-8, so a run cannot record it",
            hint="Rename it, or create a symbolic link with another name.",
        )
    if not request.source or not os.path.exists(path):  # an empty path would be this folder
        raise DataError(
            f"there is no file or folder {request.source or repr(request.source)}",
            hint="Use the path of a folder or table, or hf:<name> for a Hub dataset.",
        )
    if os.path.isdir(path):
        layout = _folder_of_files if request.kind.in_files else _folder_of_tables
        return layout(request, path)
    if looks_like_table(path):
        return _table_files(request, {"all": path})
    _refuse_single_file(request.kind, path)
    raise DataError(
        f"{path} is neither a folder nor a table",
        hint=f"Tables have one of the suffixes {suffixes()}.",
    )


def _in_memory(request: DataRequest) -> Layout:
    """Readers for data in memory; the path of a table or folder may be one of its splits."""
    splits = given_splits(request.given, request.kind, request.columns, request.findings)
    return {
        key: _given_reader(request, split)
        if isinstance(split, GivenSplit)
        else _path_reader(request, key, split)
        for key, split in splits.items()
    }


def _given_reader(request: DataRequest, split: GivenSplit) -> Reader:
    def read(labelled: bool, tasks: Sequence[LabelKind]) -> Part:
        return read_given(
            split,
            request.kind,
            request.columns,
            request.findings,
            labelled=labelled,
            tasks=tasks,
        )

    return read


def _path_reader(request: DataRequest, key: str, path: str | os.PathLike[str]) -> Reader:
    layout = layout_of(replace(request, source=os.fspath(path), given=None))
    if "all" not in layout:
        raise DataError(
            f"{path} is given as the {key} split, but is itself split: {', '.join(layout)}",
            hint="Give the path of one split.",
        )
    return layout["all"]


def _refuse_single_file(kind: InputKind, path: Path) -> None:
    """Raise a :class:`DataError` if a file is a single input."""
    if kind.in_files and kind.is_file(path):
        raise DataError(
            f"{path} is a single {kind.noun}; training needs a folder of {kind.nouns}",
            hint=f"Use the folder that holds the class folders, e.g. --data {path.parent.parent}.",
        )
    for other in kind.others:
        if other.in_files and other.is_file(path):
            raise DataError(
                f"the model takes {kind.nouns}, not {other.nouns}: {path}",
                hint=f"Use a table of {kind.nouns}: CSV, TSV, JSON lines or Parquet.",
            )


def training_key(request: DataRequest, layout: Layout) -> str:
    """The key of the split to train on: ``train``, or ``all`` for data without splits.

    Raises:
        DataError: There are only other splits.
    """
    key = "train" if "train" in layout else "all"
    if key not in layout:
        raise DataError(
            f"{request.source} has no training split, only {' and '.join(layout)}",
            hint="Add the training data as train, beside the other splits.",
        )
    return key


def _folder_of_files(request: DataRequest, root: Path) -> Layout:
    splits = split_folders(root, request.kind, request.findings)
    if splits:
        return {key: _split_reader(request, folder) for key, folder in splits.items()}
    if has_labels_in_table(root, request.kind):
        tables = find_tables(root, request.findings)
        note_unlisted(root, request.kind, tables, request.columns, request.findings)
        return _table_files(request, tables)
    refuse_splits_as_classes(root, request.kind)
    return {"all": _folder_reader(request, root)}


def _split_reader(request: DataRequest, folder: Path) -> Reader:
    """Read a split folder by its table, such as Hugging Face's ``metadata.csv``, or class folders."""
    if not has_labels_in_table(folder, request.kind):
        return _folder_reader(request, folder)
    tables = find_tables(folder, request.findings)
    if len(tables) > 1:
        raise DataError(
            f"the split folder {folder} has tables for several splits: {', '.join(sorted(tables))}",
            hint="Keep one table per split folder.",
        )
    note_unlisted(folder, request.kind, tables, request.columns, request.findings)
    return _table_reader(request, next(iter(tables.values())))


def _folder_reader(request: DataRequest, folder: Path) -> Reader:
    def read(_: bool, tasks: Sequence[LabelKind]) -> Part:
        part = read_class_folders(folder, request.kind, request.findings)
        task = next((each for each in tasks if isinstance(part.known, each.labels)), None)
        if task is not None:
            return replace(part, task=task)
        raise DataError(
            f"--task {tasks[-1].name} needs a table; {folder} has class folders, with one class "
            f"per {request.kind.noun}",
            hint="Use a table with a column of paths and columns of labels.",
        )

    return read


def _folder_of_tables(request: DataRequest, root: Path) -> Layout:
    tables = find_tables(root, request.findings)
    if tables:
        return _table_files(request, tables)
    kind = request.kind
    for other in kind.others:
        if other.in_files and holds_files(root, other):
            raise DataError(
                f"the model takes {kind.nouns}, but {root} holds {other.nouns}",
                hint=f"Choose a backbone for {other.nouns}, or use a table of {kind.nouns}.",
            )
    raise DataError(
        f"{root} has no table of {kind.nouns}",
        hint="Use a CSV, TSV, JSON lines or Parquet file, or a folder with train.* and val.*.",
    )


def _table_files(request: DataRequest, files: Mapping[str, Path]) -> Layout:
    if list(files) != ["all"]:
        return {key: _table_reader(request, path, key) for key, path in files.items()}
    table = read_table(files["all"], request.columns.quoting)
    splits = by_split_column(table, request.columns, request.kind, request.findings)
    return _tables(request, splits or {"all": table})


def _tables(request: DataRequest, tables: Mapping[str, Table]) -> Layout:
    return {key: _table_reader(request, table) for key, table in tables.items()}


def _table_reader(request: DataRequest, given: Table | Path, split: str = "") -> Reader:
    def read(labelled: bool, tasks: Sequence[LabelKind]) -> Part:
        columns = request.columns
        table = read_table(given, columns.quoting) if isinstance(given, Path) else given
        if split:
            refuse_other_splits(table, columns, split)
        if labelled:
            require_labels(table, columns, tasks)
        part = read_part(table, request.kind, columns, request.findings, tasks=tasks)
        part = with_files_found(part, request.kind, split, request.findings)
        if labelled and len(tasks) > 1:
            refuse_numeric_labels(part)
        return part

    return read
