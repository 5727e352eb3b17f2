"""Open a dataset: read its splits, merge their classes and check every input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from zoo.data.classes import (
    check_count,
    choose_classes,
    label_array,
    nothing_readable,
    require_samples,
    unify_integer_labels,
)
from zoo.data.conflicts import label_conflicts
from zoo.data.examined import Keeps
from zoo.data.examined_cache import examine
from zoo.data.group_source import NO_GROUPS, GroupSource
from zoo.data.groups import group_split, grouped, known_groups, require_groups
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, Layout, layout_of, training_key
from zoo.data.leakage import drop_leaked, overlap
from zoo.data.memory.source import DataSource, source_name
from zoo.data.readable import readable
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns
from zoo.data.sources.dialects import Quoting
from zoo.data.splitting import VAL_SPLIT, check_share
from zoo.errors import DataError, UsageError


def open_data(
    source: DataSource,
    *,
    kind: InputKind,
    tasks: Sequence[LabelKind],
    val_split: float = 0.2,
    seed: int = 0,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    classes: int | None = None,
    bad_files: BadFiles = "error",
    dedupe: bool = False,
    need: Literal["train", "folds", "evaluate"] = "train",
    known_classes: Sequence[str] | None = None,
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
    groups: GroupSource = NO_GROUPS,
    keep: Keeps | None = None,
) -> Splits:
    """Open a folder, a table or a Hub dataset, and read every input once to check it.

    Args:
        source: Data in memory (:data:`zoo.data.memory.source.DataSource`); or a folder of class folders, with or without split folders ``train``, ``val`` and
            ``test``; a table, or a folder with ``train.*``, ``val.*`` and ``test.*``; or
            ``hf:<name>[:<configuration>]``.
        kind: The modality of the backbone.
        tasks: The possible tasks; the first that claims the labels is used.
        val_split: The validation share, in (0, 1), if the data has no validation split.
        seed: Determines that split.
        text_column: The column of texts or image paths; two for text pairs; ``None`` to detect it.
        label_column: The label column, or several; ``None`` to detect it.
        classes: The expected number of classes.
        bad_files: Whether unreadable files and incomplete rows are an error or are skipped.
        dedupe: Drop training samples that are also in validation or test: the same file, an
            image that looks the same, or the same text up to case, spaces and Unicode form.
        need: ``train`` reads ``train`` and ``val``. ``folds`` reads them too, and leaves ``val`` empty
            if the data has no such split. ``evaluate`` reads ``val`` and ``test`` if
            they have labels, or else everything (:meth:`Splits.to_evaluate`).
        known_classes: For an evaluation, the class names or target columns of the run.
        learned: For an evaluation, the columns that the run was trained on; used by default.
        quoting: Quoting of CSV and TSV files: ``double``, ``backslash`` or ``none``; ``None`` or
            ``auto`` to detect it.
        groups: Where the group of a sample is found; a split that is made here divides none, and
            groups that given splits share are reported. In an evaluation as in training, where the
            data has them.
        keep: Takes what the inputs of training and validation are decoded to.

    Raises:
        UsageError: Columns were named, but the data is not a table.
        DataError: There is no usable data for this modality and task.
        ClassesError: Classes do not match ``classes``, ``known_classes`` or each other.
        BadFilesError: Inputs cannot be read, and ``bad_files`` is ``error``.
    """
    check_share(val_split)
    groups.check()
    columns = Columns.named(text_column, label_column, quoting).learned(learned)
    findings = Findings(bad_files)
    request = DataRequest(
        source_name(source), kind, columns, findings, val_split, seed, tasks, source, groups
    )
    layout = layout_of(request)
    if need == "evaluate":
        return _for_evaluation(request, layout, known_classes)
    divides = need == "train"
    return _for_training(request, layout, classes, dedupe=dedupe, keep=keep, divides=divides)


def _for_training(
    request: DataRequest,
    layout: Layout,
    wanted: int | None,
    *,
    dedupe: bool,
    keep: Keeps | None,
    divides: bool,
) -> Splits:
    own = training_key(request, layout)
    first = layout[own](True, request.tasks)
    _refuse_columns(request, first)
    task = first.known_task
    parts = {own: first, **({"val": layout["val"](True, (task,))} if "val" in layout else {})}
    parts = {key: _with_groups(request, part) for key, part in parts.items()}
    if "val" in parts and request.val_split != VAL_SPLIT:
        request.findings.note("--val-split is ignored: the data has a validation split")
    request.findings.check()
    parts = unify_integer_labels(parts, (), request.findings)
    classes = choose_classes(parts[own])
    check_count(classes, wanted, parts[own])
    for part in parts.values():  # before reading the inputs, which may take a while
        label_array(part, classes, owner=parts[own].where)
    samples = {key: _checked(request, part, classes, keep) for key, part in parts.items()}
    request.findings.check()
    if words := label_conflicts(list(samples.values()), classes):
        request.findings.note(words)
    train, val = samples[own], samples.get("val")
    assert train.labels is not None
    require_samples(train.labels, parts[own], classes)
    _require_groups(request, samples.values())
    if val is None and not divides:
        val = train.select([])
    elif val is None:
        train, val = _halves(request, train, task)
        if not len(val):
            raise _too_few(parts[own])
    elif not len(val):
        raise nothing_readable(parts["val"].where)
    held_out = [each for each in (val, *_test(request, layout, task)) if len(each)]
    found, before = overlap(train, held_out), len(train)
    if dedupe and found.in_train.any():
        train = drop_leaked(train, found, classes)
    assert train.labels is not None
    task.require_variety(train.labels, parts[own].where, classes)
    splits = _splits(request, classes, task, train=train, val=val)
    others = tuple(name for part in parts.values() for name in part.others)
    inputs, labels = parts[own].columns
    return replace(
        splits,
        shared=found.shared,
        near=found.near,
        shared_groups=found.groups,
        removed=before - len(train),
        others=others,
        input_columns=inputs,
        label_columns=labels,
    )


def _refuse_columns(request: DataRequest, part: Part) -> None:
    """Raise a :class:`UsageError` if columns were named and the data is not a table."""
    if part.columns != ((), ()):
        return
    for option, names in (
        ("--text-column", request.columns.inputs),
        ("--label-column", request.columns.labels),
    ):
        if names:
            raise UsageError(
                f"{option} {names[0]} is only for tables, but {request.source} has none",
                hint=f"Remove {option}, or use --data with the table.",
            )


def _test(request: DataRequest, layout: Layout, task: LabelKind) -> list[Samples]:
    """The test split, if it is readable, to check for duplicates in training.

    Its errors do not stop training; an evaluation reports them.
    """
    if "test" not in layout:
        return []
    found, notes = request.findings.found, request.findings.notes
    found_before, notes_before = len(found), len(notes)
    try:
        part = layout["test"](False, (task,))
        part = known_groups(part, request.groups, request.kind, below=request.source)
        return [_compared(request.kind, part)]
    except DataError:
        return []
    finally:
        del found[found_before:], notes[notes_before:]


def _compared(kind: InputKind, part: Part) -> Samples:
    """Samples with contents and hashes, for comparison only."""
    seen = examine(kind, part.inputs)
    return Samples(
        kind, part.inputs, contents=seen.contents, hashes=seen.hashes, groups=part.groups
    )


def _with_groups(request: DataRequest, part: Part) -> Part:
    return grouped(part, request.groups, request.kind, request.findings, below=request.source)


def _require_groups(request: DataRequest, splits: Iterable[Samples]) -> None:
    """Raise a :class:`DataError` if all samples are in one group."""
    groups = [samples.groups for samples in splits if samples.groups is not None]
    if groups:
        require_groups(np.concatenate(groups), typed=request.groups.typed)


def _too_few(part: Part) -> DataError:
    shortage, advice = part.known_task.too_few(part.known)
    return DataError(
        f"{part.where} has {shortage}, so none can be held out for validation",
        hint=f"Add samples, or a validation split called val.{advice and f' {advice}'}",
    )


def _for_evaluation(request: DataRequest, layout: Layout, known: Sequence[str] | None) -> Splits:
    parts = _evaluated(request, layout)
    request.findings.check()
    task = next(iter(parts.values())).known_task
    parts = unify_integer_labels(parts, known or (), request.findings)
    classes = tuple(known) if known is not None else _own_classes(request, layout, parts)
    owner = "the run" if known is not None else "the training split"
    parts = {key: _under(part, classes, request.columns) for key, part in parts.items()}
    parts = {
        key: known_groups(part, request.groups, request.kind, below=request.source)
        for key, part in parts.items()
    }
    for part in parts.values():
        label_array(part, classes, owner=owner)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.check()
    for key, part in parts.items():
        if not len(samples[key]):
            raise nothing_readable(part.where)
    if "all" not in samples:
        nothing = next(iter(samples.values())).select([])
        val, test = samples.get("val"), samples.get("test")
        return _splits(request, classes, task, train=nothing, val=val, test=test)
    whole = samples["all"]
    train, val = _halves(request, whole, task)
    return _splits(request, classes, task, train=train, val=val, whole=whole)


def _evaluated(request: DataRequest, layout: Layout) -> dict[str, Part]:
    """The splits to evaluate on: labelled ``val`` and ``test``, or else all of the data."""
    tasks, labelled = request.tasks, dict[str, Part]()
    held_out = [key for key in ("val", "test") if key in layout]
    for key in held_out:
        part = layout[key](False, tasks)
        if part.labels is not None:
            labelled[key], tasks = part, (part.known_task,)
    if labelled:
        return labelled
    whole = next((layout[key] for key in ("all", "train") if key in layout), None)
    if whole is None:
        return {key: layout[key](True, tasks) for key in held_out}  # raises for missing labels
    return {"all": whole(True, tasks)}


def _own_classes(
    request: DataRequest, layout: Layout, parts: Mapping[str, Part]
) -> tuple[str, ...]:
    """The classes of the training split, for data that is opened without a run."""
    first = next(iter(parts.values()))
    training = layout["train"](True, (first.known_task,)) if "train" in layout else first
    return choose_classes(unify_integer_labels({"train": training}, (), request.findings)["train"])


def _under(part: Part, classes: tuple[str, ...], columns: Columns) -> Part:
    """With target columns that the user named renamed to those that the run was trained on."""
    labels = part.labels
    if labels is None or not labels.columns or len(columns.labels) != len(classes):
        return part
    return replace(part, labels=replace(labels, names=classes))


def _checked(
    request: DataRequest, part: Part, classes: Sequence[str], keep: Keeps | None = None
) -> Samples:
    """The samples of a split, all read once; unreadable ones are left out."""
    seen = readable(part, request.kind, request.findings, keep)
    part, found = seen.part, seen.found
    labels = label_array(part, classes, owner=part.where)
    fingerprint = content_fingerprint(classes, labels, found.digests)
    known = (found.contents, found.hashes, found.traits, part.groups)
    digests = found.digests if request.kind.in_files else None  # those of texts are the texts
    return Samples(request.kind, part.inputs, labels, fingerprint, *known, digests)


def _halves(request: DataRequest, samples: Samples, task: LabelKind) -> tuple[Samples, Samples]:
    """Split off the requested validation share, which may come out empty."""
    labels, groups = samples.labels, samples.groups
    assert labels is not None
    if groups is None or len(np.unique(groups)) < 2:
        train, val = task.split(labels, request.val_split, request.seed)
    else:
        train, val = group_split(task.strata(labels), groups, request.val_split, request.seed)
    return samples.select(train), samples.select(val)


def _splits(
    request: DataRequest,
    classes: tuple[str, ...],
    task: LabelKind,
    *,
    train: Samples,
    val: Samples | None = None,
    test: Samples | None = None,
    whole: Samples | None = None,
) -> Splits:
    return Splits(
        kind=request.kind,
        classes=classes,
        train=train,
        val=val,
        test=test,
        whole=whole,
        fingerprint=splits_fingerprint(classes, train, val, test),
        source=request.source,
        skipped=request.findings.skipped,
        notes=tuple(request.findings.notes),
        task=task.name,
    )
