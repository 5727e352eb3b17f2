"""From what the user names to splits: find the layout, agree on classes, check every input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from zoo.data.columns import Columns, read_part, require_labels
from zoo.data.folders import (
    pictures_below,
    read_class_folders,
    split_folders,
    split_of,
    visible_folders,
)
from zoo.data.hub import PREFIX, read_hub
from zoo.data.labels import (
    Part,
    agree_on_numbers,
    check_count,
    check_share,
    choose_classes,
    indices_of,
    stratified_split,
)
from zoo.data.pictures import examine, looks_like_picture
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint
from zoo.data.tables import Table, find_tables, looks_like_table, read_table
from zoo.errors import DataError
from zoo.spec import Modality

Reader: TypeAlias = Callable[[bool], Part]
"""Reads one split; the argument says whether it must have labels."""

Layout: TypeAlias = Mapping[str, Reader]
"""Readers by split: ``train``, ``val``, ``test``, or ``all`` for data without splits."""


@dataclass(frozen=True)
class _Request:
    source: str
    modality: Modality
    columns: Columns
    findings: Findings
    val_split: float
    seed: int


def open_data(
    source: str | Path,
    *,
    modality: Modality,
    val_split: float = 0.2,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    classes: int | None = None,
    bad_files: BadFiles = "error",
    need: Literal["train", "evaluate"] = "train",
    known_classes: Sequence[str] | None = None,
) -> Splits:
    """Open a folder, a table or a Hub data set; every picture in it is decoded once as a check.

    Args:
        source: A folder of class folders, with ``train``, ``val`` and ``test`` above them or
            without; a table, or a folder with ``train.*``, ``val.*`` and ``test.*``; or
            ``hf:<name>[:<configuration>]``.
        modality: What the backbone takes.
        val_split: The share, in (0, 1), that validates where the data bring no split for it.
        seed: Decides which samples that share consists of.
        text_column: The column of texts or of paths of pictures; ``None`` to find it.
        label_column: The column of labels; ``None`` to find it.
        classes: The number of classes that the user expects.
        bad_files: Whether unreadable pictures and incomplete rows stop, or are left out.
        need: ``train`` reads the splits ``train`` and ``val``. ``evaluate`` reads those of
            ``val`` and ``test`` that have labels, or else all there is
            (:meth:`Splits.to_evaluate`).
        known_classes: For an evaluation, the class names of the run.

    Raises:
        DataError: There is nothing to work on there, or not of this modality.
        ClassesError: Classes do not fit ``classes``, ``known_classes`` or each other.
        BadFilesError: Inputs cannot be used, and ``bad_files`` is ``error``.
    """
    check_share(val_split)
    columns = Columns(input=text_column, label=label_column)
    request = _Request(str(source), modality, columns, Findings(bad_files), val_split, seed)
    layout = _layout(request)
    if need == "train":
        return _for_training(request, layout, classes)
    return _for_evaluation(request, layout, known_classes)


def _for_training(request: _Request, layout: Layout, wanted: int | None) -> Splits:
    own = "train" if "train" in layout else "all"
    if own not in layout:
        raise DataError(
            f"{request.source} has {' and '.join(layout)}, but nothing to train on",
            hint="Put the training data beside it, called train.",
        )
    parts = {key: layout[key](True) for key in (own, "val") if key in layout}
    request.findings.settle()
    parts = agree_on_numbers(parts, ())
    classes = choose_classes(parts[own])
    check_count(classes, wanted, parts[own].where)
    for part in parts.values():  # before the pictures are looked at, which may take a while
        indices_of(part, classes, owner=parts[own].where)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    _require_samples(samples[own], parts[own], classes)
    train, val = samples[own], samples.get("val")
    if val is None:
        train, val = _halves(request, train)
        if not len(val):
            raise DataError(
                f"{parts[own].where} has one sample a class, and nothing is left to validate on",
                hint="Add samples, or bring a validation split, called val.",
            )
    elif not len(val):
        raise DataError(f"{parts['val'].where} has nothing that can be read")
    return _splits(request, classes, train=train, val=val)


def _for_evaluation(request: _Request, layout: Layout, known: Sequence[str] | None) -> Splits:
    parts = _evaluated(layout)
    request.findings.settle()
    parts = agree_on_numbers(parts, known or ())
    classes = tuple(known) if known is not None else _own_classes(layout, parts)
    owner = "the run" if known is not None else "the training split"
    for part in parts.values():
        indices_of(part, classes, owner=owner)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    for key, part in parts.items():
        if not len(samples[key]):
            raise DataError(f"{part.where} has nothing that can be read")
    if "all" not in samples:
        nothing = next(iter(samples.values())).select([])
        return _splits(
            request, classes, train=nothing, val=samples.get("val"), test=samples.get("test")
        )
    whole = samples["all"]
    train, val = _halves(request, whole)
    return _splits(request, classes, train=train, val=val, whole=whole)


def _evaluated(layout: Layout) -> dict[str, Part]:
    """What an evaluation reads: the splits for it that have labels, or else everything."""
    held_out = {key: layout[key](False) for key in ("val", "test") if key in layout}
    labelled = {key: part for key, part in held_out.items() if part.labels is not None}
    if labelled:
        return labelled
    whole = next((layout[key] for key in ("all", "train") if key in layout), None)
    if whole is None:
        return {key: layout[key](True) for key in held_out}  # tells which labels are missing
    return {"all": whole(True)}


def _own_classes(layout: Layout, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The classes of data that are evaluated without a run: those of their training split."""
    own = layout["train"](True) if "train" in layout else next(iter(parts.values()))
    return choose_classes(agree_on_numbers({"train": own}, ())["train"])


def _checked(request: _Request, part: Part, classes: Sequence[str]) -> Samples:
    """Samples of a split whose pictures have been decoded; unreadable ones are left out."""
    count = len(part.inputs)
    if request.modality == "image":
        digests, reasons = examine(part.inputs)
        for index, reason in reasons.items():
            request.findings.add(part.inputs.name(index), reason)
        if reasons:
            good = np.array([i for i in range(count) if i not in reasons], dtype=np.int64)
            part, digests = part.take(good), [digests[i] for i in good]
    else:
        digests = [str(part.inputs[i]).encode() + b"\0" for i in range(count)]
    labels = indices_of(part, classes, owner=part.where)
    fingerprint = content_fingerprint(classes, labels, digests)
    return Samples(request.modality, part.inputs, labels, fingerprint)


def _require_samples(train: Samples, part: Part, classes: Sequence[str]) -> None:
    """After unreadable inputs have been left out, every class must still have some."""
    if not len(train):
        raise DataError(f"{part.where} has no readable picture among {len(part.inputs):,}")
    assert train.labels is not None
    counts = np.bincount(train.labels, minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        raise DataError(
            f"{part.where} has no readable picture of {', '.join(map(repr, lost))}",
            hint="Mend the files, or remove the class.",
        )


def _halves(request: _Request, samples: Samples) -> tuple[Samples, Samples]:
    """What is trained on, and what the share of the request holds out; the latter may be empty."""
    assert samples.labels is not None
    train, val = stratified_split(samples.labels, request.val_split, request.seed)
    return samples.select(train), samples.select(val)


def _splits(
    request: _Request,
    classes: tuple[str, ...],
    *,
    train: Samples,
    val: Samples | None = None,
    test: Samples | None = None,
    whole: Samples | None = None,
) -> Splits:
    return Splits(
        modality=request.modality,
        classes=classes,
        train=train,
        val=val,
        test=test,
        whole=whole,
        fingerprint=splits_fingerprint(classes, train, val, test),
        source=request.source,
        skipped=request.findings.skipped,
    )


# -- layouts -----------------------------------------------------------------------------------


def _layout(request: _Request) -> Layout:
    if request.source.startswith(PREFIX):
        return _tables(request, read_hub(request.source))
    path = Path(request.source).expanduser()
    if not path.exists():
        raise DataError(
            f"there is no file or folder {request.source}",
            hint="Give a folder, a table, or hf:<name> for a data set of the Hub.",
        )
    if path.is_dir():
        return (
            _picture_folder(request, path)
            if request.modality == "image"
            else _text_folder(request, path)
        )
    if looks_like_table(path):
        return _table_files(request, {"all": path})
    if looks_like_picture(path):
        if request.modality == "text":
            raise DataError(
                f"this run takes texts; {path} looks like a picture",
                hint="Give a table of texts: CSV, TSV, JSON lines or Parquet.",
            )
        raise DataError(
            f"{path} is one picture; training needs a folder of them",
            hint=f"Give the folder above the class folders, e.g. --data {path.parent.parent}.",
        )
    raise DataError(
        f"{path} is neither a folder nor a table",
        hint="Tables are CSV, TSV, JSON lines (.jsonl, .json) or Parquet, by their file names.",
    )


def _picture_folder(request: _Request, root: Path) -> Layout:
    splits = split_folders(root)
    if splits:
        return {key: _folder_reader(folder) for key, folder in splits.items()}
    if _has_table_of_pictures(root):
        return _table_files(request, find_tables(root))
    return {"all": _folder_reader(root)}


def _folder_reader(folder: Path) -> Reader:
    return lambda _: read_class_folders(folder)


def _has_table_of_pictures(root: Path) -> bool:
    """Whether the table in a folder, rather than its class folders, says what the pictures show."""
    tables = [path for path in root.iterdir() if looks_like_table(path)]
    named = any(split_of(path.stem) == "train" for path in tables)
    return named or (bool(tables) and len(visible_folders(root)) < 2)


def _text_folder(request: _Request, root: Path) -> Layout:
    tables = find_tables(root)
    if tables:
        return _table_files(request, tables)
    if next(pictures_below(root), None) is not None:
        raise DataError(
            f"this run takes texts; {root} holds pictures",
            hint="Choose a backbone for pictures, or give a table of texts.",
        )
    raise DataError(
        f"{root} holds no table of texts",
        hint="Give a CSV, TSV, JSON lines or Parquet file, or a folder with train.* and val.*.",
    )


def _table_files(request: _Request, files: Mapping[str, Path]) -> Layout:
    return {key: _table_reader(request, path) for key, path in files.items()}


def _tables(request: _Request, tables: Mapping[str, Table]) -> Layout:
    return {key: _table_reader(request, table) for key, table in tables.items()}


def _table_reader(request: _Request, given: Table | Path) -> Reader:
    def read(labelled: bool) -> Part:
        table = read_table(given) if isinstance(given, Path) else given
        if labelled:
            require_labels(table, request.columns)
        return read_part(table, request.modality, request.columns, request.findings)

    return read
