"""How data are laid out: split folders, class folders, tables, a Hub dataset; and their readers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from zoo.data.classes import refuse_numeric_labels
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.reports import Findings
from zoo.data.sources.columns import Columns, read_part, require_labels
from zoo.data.sources.folders import read_class_folders
from zoo.data.sources.hub import PREFIX, read_hub
from zoo.data.sources.split_columns import by_split_column, refuse_other_splits
from zoo.data.sources.split_folders import (
    has_labels_in_table,
    refuse_splits_as_classes,
    split_folders,
    with_files_found,
)
from zoo.data.sources.tables import find_tables, looks_like_table, read_table
from zoo.data.sources.unlisted import note_unlisted
from zoo.data.sources.walk import holds_files
from zoo.data.table import Table
from zoo.errors import DataError
from zoo.system.files import is_utf8

Reader: TypeAlias = Callable[[bool, Sequence[LabelKind]], Part]
"""Reads one split; the arguments say whether it must have labels, and of which tasks."""

Layout: TypeAlias = Mapping[str, Reader]
"""Readers by split: ``train``, ``val``, ``test``, or ``all`` for data without splits."""


@dataclass(frozen=True)
class DataRequest:
    """What the user asks for.

    Attributes:
        source: A path or ``hf:…``.
        kind: What the backbone takes.
        columns: The columns that the user named.
        findings: Collects what cannot be used.
        val_split: The share, in (0, 1), that validates where there is no split for it.
        seed: Decides which samples that share consists of.
        tasks: What the labels may be; the first that claims them counts.
    """

    source: str
    kind: InputKind
    columns: Columns
    findings: Findings
    val_split: float
    seed: int
    tasks: Sequence[LabelKind]


def layout_of(request: DataRequest) -> Layout:
    """How to read what the request names.

    Raises:
        DataError: There is no such thing, or not inputs of the request's kind.
    """
    if request.source.startswith(PREFIX):
        return _tables(request, read_hub(request.source))
    path = Path(os.path.expanduser(request.source))
    if not is_utf8(path):
        raise DataError(
            f"the name of {path} is not valid UTF-8, and the run could not record it",
            hint="Rename it, or give a link to it that has another name.",
        )
    if not os.path.exists(path):
        raise DataError(
            f"there is no file or folder {request.source}",
            hint="Give a folder, a table, or hf:<name> for a dataset of the Hub.",
        )
    if os.path.isdir(path):
        layout = _folder_of_files if request.kind.in_files else _folder_of_tables
        return layout(request, path)
    if looks_like_table(path):
        return _table_files(request, {"all": path})
    _refuse_single_file(request.kind, path)
    raise DataError(
        f"{path} is neither a folder nor a table",
        hint="Tables are CSV, TSV, JSON lines (.jsonl, .json) or Parquet, by their file names.",
    )


def _refuse_single_file(kind: InputKind, path: Path) -> None:
    """Raise a :class:`DataError` where a file is one input, rather than many with their labels."""
    if kind.in_files and kind.is_file(path):
        raise DataError(
            f"{path} is one {kind.noun}; training needs a folder of them",
            hint=f"Give the folder above the class folders, e.g. --data {path.parent.parent}.",
        )
    for other in kind.others:
        if other.in_files and other.is_file(path):
            raise DataError(
                f"this run takes {kind.nouns}, not {other.nouns}: {path}",
                hint=f"Give a table of {kind.nouns}: CSV, TSV, JSON lines or Parquet.",
            )


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
    """Reads one split folder: by its table, as Hugging Face's ``metadata.csv``, or class folders."""
    if not has_labels_in_table(folder, request.kind):
        return _folder_reader(request, folder)
    tables = find_tables(folder, request.findings)
    if len(tables) > 1:
        raise DataError(
            f"{folder} has tables of several splits: {', '.join(sorted(tables))}",
            hint="Keep one table in each split folder.",
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
            f"{folder} has class folders, which give each "
            f"{request.kind.noun} one class; this is no {tasks[-1].name}",
            hint="Give a table with a column of paths and one of labels.",
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
                f"this run takes {kind.nouns}; {root} holds {other.nouns}",
                hint=f"Choose a backbone for {other.nouns}, or give a table of {kind.nouns}.",
            )
    raise DataError(
        f"{root} holds no table of {kind.nouns}",
        hint="Give a CSV, TSV, JSON lines or Parquet file, or a folder with train.* and val.*.",
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
