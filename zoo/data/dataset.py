"""From what the user names to splits: agree on classes, and check every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from zoo.data.classes import (
    check_count,
    choose_classes,
    label_array,
    require_samples,
    unify_integer_labels,
)
from zoo.data.conflicts import label_conflicts
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, Layout, layout_of
from zoo.data.leakage import drop_leaked, overlap
from zoo.data.readable import readable
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns
from zoo.data.sources.dialects import Quoting
from zoo.data.splitting import VAL_SPLIT, check_share
from zoo.errors import DataError, UsageError


def open_data(
    source: str | Path,
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
    need: Literal["train", "evaluate"] = "train",
    known_classes: Sequence[str] | None = None,
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
) -> Splits:
    """Open a folder, a table or a Hub dataset; every input is read once as a check.

    Args:
        source: A folder of class folders, with ``train``, ``val`` and ``test`` above them or
            without; a table, or a folder with ``train.*``, ``val.*`` and ``test.*``; or
            ``hf:<name>[:<configuration>]``.
        kind: What the backbone takes: a modality.
        tasks: What the labels may be: one, or several of which the first that claims them counts.
        val_split: The share, in (0, 1), that validates where the data bring no split for it.
        seed: Decides which samples that share consists of.
        text_column: The column of texts or of paths of images; two for pairs of texts;
            ``None`` to find it.
        label_column: The column of labels, for regression one or more; ``None`` to find it.
        classes: The number of classes that the user expects.
        bad_files: Whether unreadable files and incomplete rows stop, or are left out.
        dedupe: Whether training leaves out what validation or test has too: the same file, a
            image that looks the same, or the same text but for case, blanks and Unicode form.
        need: ``train`` reads the splits ``train`` and ``val``. ``evaluate`` reads those of
            ``val`` and ``test`` that have labels, or else all there is
            (:meth:`Splits.to_evaluate`).
        known_classes: For an evaluation, the class names (or columns of numbers) of the run.
        learned: For an evaluation, the columns that the run was trained on, where none are named.
        quoting: How CSV and TSV files mark texts that contain their delimiter: ``double``,
            ``backslash`` or ``none``; ``None`` or ``auto`` to find out.

    Raises:
        UsageError: Columns were named, and the data have none.
        DataError: There is nothing to work on there, or not of this modality or task.
        ClassesError: Classes do not fit ``classes``, ``known_classes`` or each other.
        BadFilesError: Inputs cannot be used, and ``bad_files`` is ``error``.
    """
    check_share(val_split)
    columns = Columns.named(text_column, label_column, quoting).learned(learned)
    findings = Findings(bad_files)
    request = DataRequest(str(source), kind, columns, findings, val_split, seed, tasks)
    layout = layout_of(request)
    if need == "train":
        return _for_training(request, layout, classes, dedupe=dedupe)
    return _for_evaluation(request, layout, known_classes)


def _for_training(
    request: DataRequest, layout: Layout, wanted: int | None, *, dedupe: bool
) -> Splits:
    own = "train" if "train" in layout else "all"
    if own not in layout:
        raise DataError(
            f"{request.source} has {' and '.join(layout)}, but nothing to train on",
            hint="Put the training data beside it, called train.",
        )
    first = layout[own](True, request.tasks)
    _refuse_columns(request, first)
    task = first.known_task
    parts = {own: first, **({"val": layout["val"](True, (task,))} if "val" in layout else {})}
    if "val" in parts and request.val_split != VAL_SPLIT:
        request.findings.note("--val-split is not used: the data have a validation split")
    request.findings.settle()
    parts = unify_integer_labels(parts, (), request.findings)
    classes = choose_classes(parts[own])
    check_count(classes, wanted, parts[own])
    for part in parts.values():  # before the inputs are looked at, which may take a while
        label_array(part, classes, owner=parts[own].where)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    if words := label_conflicts(list(samples.values()), classes):
        request.findings.note(words)
    train, val = samples[own], samples.get("val")
    assert train.labels is not None
    require_samples(train.labels, parts[own], classes)
    if val is None:
        train, val = _halves(request, train, task)
        if not len(val):
            raise _too_few(parts[own])
    elif not len(val):
        raise DataError(f"{parts['val'].where} has nothing that can be read")
    found, before = overlap(train, [val, *_test(request, layout, task)]), len(train)
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
        removed=before - len(train),
        others=others,
        input_columns=inputs,
        label_columns=labels,
    )


def _refuse_columns(request: DataRequest, part: Part) -> None:
    """Raise a :class:`UsageError` where columns were named and the data have none."""
    if part.columns != ((), ()):
        return
    for option, names in (
        ("--text-column", request.columns.inputs),
        ("--label-column", request.columns.labels),
    ):
        if names:
            raise UsageError(
                f"{option} {names[0]} is for tables, and {request.source} has none",
                hint=f"Leave {option} out, or give the table with --data.",
            )


def _test(request: DataRequest, layout: Layout, task: LabelKind) -> list[Samples]:
    """The test split, if there is one that can be read, to compare it with training.

    Its faults are no reason not to train; an evaluation reports them.
    """
    if "test" not in layout:
        return []
    found, notes = request.findings.found, request.findings.notes
    before, told = len(found), len(notes)
    try:
        return [_compared(request.kind, layout["test"](False, (task,)))]
    except DataError:
        return []
    finally:
        del found[before:], notes[told:]


def _compared(kind: InputKind, part: Part) -> Samples:
    """Samples that can be compared with others; unreadable ones are unlike any."""
    seen = kind.examine(part.inputs)
    return Samples(kind, part.inputs, contents=seen.contents, hashes=seen.hashes)


def _too_few(part: Part) -> DataError:
    what, advice = part.known_task.too_few(part.known)
    return DataError(
        f"{part.where} has {what}, and nothing is left to validate on",
        hint=f"Add samples, or bring a validation split, called val.{advice and f' {advice}'}",
    )


def _for_evaluation(request: DataRequest, layout: Layout, known: Sequence[str] | None) -> Splits:
    parts = _evaluated(request, layout)
    request.findings.settle()
    task = next(iter(parts.values())).known_task
    parts = unify_integer_labels(parts, known or (), request.findings)
    classes = tuple(known) if known is not None else _own_classes(request, layout, parts)
    owner = "the run" if known is not None else "the training split"
    parts = {key: _under(part, classes, request.columns) for key, part in parts.items()}
    for part in parts.values():
        label_array(part, classes, owner=owner)
    samples = {key: _checked(request, part, classes) for key, part in parts.items()}
    request.findings.settle()
    for key, part in parts.items():
        if not len(samples[key]):
            raise DataError(f"{part.where} has nothing that can be read")
    if "all" not in samples:
        nothing = next(iter(samples.values())).select([])
        val, test = samples.get("val"), samples.get("test")
        return _splits(request, classes, task, train=nothing, val=val, test=test)
    whole = samples["all"]
    train, val = _halves(request, whole, task)
    return _splits(request, classes, task, train=train, val=val, whole=whole)


def _evaluated(request: DataRequest, layout: Layout) -> dict[str, Part]:
    """What an evaluation reads: the splits for it that have labels, or else everything."""
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
        return {key: layout[key](True, tasks) for key in held_out}  # tells what labels are missing
    return {"all": whole(True, tasks)}


def _own_classes(
    request: DataRequest, layout: Layout, parts: Mapping[str, Part]
) -> tuple[str, ...]:
    """The classes of data that are evaluated without a run: those of their training split."""
    first = next(iter(parts.values()))
    own = layout["train"](True, (first.known_task,)) if "train" in layout else first
    return choose_classes(unify_integer_labels({"train": own}, (), request.findings)["train"])


def _under(part: Part, classes: tuple[str, ...], columns: Columns) -> Part:
    """With columns of numbers that the user named called as those that the run was trained on."""
    labels = part.labels
    if labels is None or not labels.columns or len(columns.labels) != len(classes):
        return part
    return replace(part, labels=replace(labels, names=classes))


def _checked(request: DataRequest, part: Part, classes: Sequence[str]) -> Samples:
    """Samples of a split, each of which has been read; unreadable ones are left out."""
    seen = readable(part, request.kind, request.findings)
    part, found = seen.part, seen.found
    labels = label_array(part, classes, owner=part.where)
    fingerprint = content_fingerprint(classes, labels, found.digests)
    known = (found.contents, found.hashes, found.traits)
    return Samples(request.kind, part.inputs, labels, fingerprint, *known)


def _halves(request: DataRequest, samples: Samples, task: LabelKind) -> tuple[Samples, Samples]:
    """What is trained on, and what the share of the request holds out; the latter may be empty."""
    assert samples.labels is not None
    train, val = task.split(samples.labels, request.val_split, request.seed)
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
