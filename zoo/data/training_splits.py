"""The splits to train on: read, checked, divided where ``val`` is missing, and free of leakage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from zoo.data.checked_splits import as_splits, checked, halves, without_test
from zoo.data.classes import (
    check_count,
    choose_classes,
    label_array,
    nothing_readable,
    require_samples,
    unify_integer_labels,
)
from zoo.data.conflicts import label_conflicts
from zoo.data.corrections import apply_corrections, read_corrections
from zoo.data.examined import Keeps
from zoo.data.examined_cache import examine
from zoo.data.groups import grouped, known_groups, require_groups
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, Layout, training_key
from zoo.data.leakage import drop_leaked, overlap
from zoo.data.samples import Applied, Samples, Splits, joined
from zoo.data.splitting import VAL_SPLIT
from zoo.errors import ClassesError, DataError, UsageError


@dataclass(frozen=True)
class TrainingParts:
    """The labelled inputs for training, not yet read.

    Attributes:
        own: The key of the split to train on: ``train``, or ``all`` for data without splits.
        parts: By split: that one, and ``val`` if the data has it.
        classes: The names of the outputs.
        task: That of the labels.
        corrections: What corrections of the labels changed, if there were any.
    """

    own: str
    parts: Mapping[str, Part]
    classes: tuple[str, ...]
    task: LabelKind
    corrections: Applied | None = None

    @property
    def trained(self) -> Part:
        return self.parts[self.own]


def training_splits(
    request: DataRequest,
    layout: Layout,
    wanted: int | None,
    *,
    dedupe: bool,
    keep: Keeps | None,
    divides: bool,
) -> Splits:
    """The splits to train on; the arguments are those of :func:`zoo.data.dataset.open_data`.

    Args:
        request: The data that is asked for.
        layout: Readers of its splits.
        wanted: The expected number of classes.
        dedupe: Drop training samples that are also in validation or test.
        keep: Takes what the inputs are decoded to.
        divides: Whether training and validation are apart, rather than both in training.
    """
    found = _parts(request, layout, wanted)
    samples = _samples(request, found, keep)
    samples[found.own], test = without_test(request, samples[found.own], found.task, layout)
    train, val = _divided(request, found, samples, divides=divides)
    tests = _test(request, layout, found) if test is None else [test]
    held_out = [each for each in (val, *tests) if len(each)]
    leaked, before = overlap(train, held_out), len(train)
    if dedupe and leaked.in_train.any():
        train = drop_leaked(train, leaked, found.classes)
    assert train.labels is not None
    found.task.require_variety(train.labels, found.trained.where, found.classes)
    inputs, labels = found.trained.columns
    return replace(
        as_splits(request, found.classes, found.task, train=train, val=val, test=test),
        shared=leaked.shared,
        near=leaked.near,
        shared_groups=leaked.groups,
        removed=before - len(train),
        others=tuple(name for part in found.parts.values() for name in part.others),
        input_columns=inputs,
        label_columns=labels,
        corrections=found.corrections,
    )


def _parts(request: DataRequest, layout: Layout, wanted: int | None) -> TrainingParts:
    """The splits with their classes, which are checked before the inputs are read."""
    own = training_key(request, layout)
    first = layout[own](True, request.tasks)
    _refuse_columns(request, first)
    task = first.known_task
    parts = {own: first, **({"val": layout["val"](True, (task,))} if "val" in layout else {})}
    parts = {key: _with_groups(request, part) for key, part in parts.items()}
    if "val" in parts and request.val_split != VAL_SPLIT:
        request.findings.note("--val-split is ignored: the data has a validation split")
    if request.test_split and "test" in layout:
        request.findings.note("--test-split is ignored: the data has a test split")
    request.findings.check()
    parts = unify_integer_labels(parts, (), request.findings)
    parts, applied = _corrected(request, layout, parts)
    classes = choose_classes(parts[own])
    check_count(classes, wanted, parts[own])
    for part in parts.values():  # before reading the inputs, which may take a while
        label_array(part, classes, owner=parts[own].where)
    return TrainingParts(own, parts, classes, task, applied)


def _corrected(
    request: DataRequest, layout: Layout, parts: dict[str, Part]
) -> tuple[dict[str, Part], Applied | None]:
    """The splits with the user's corrections; what they change is noted."""
    if request.corrections is None:
        return parts, None
    read = read_corrections(request.corrections)

    def others() -> dict[str, Part]:
        with request.findings.ignored():
            return {key: layout[key](False, request.tasks) for key in layout if key not in parts}

    corrected, applied = apply_corrections(read, parts, request.source, others)
    request.findings.note(applied.in_words())
    return corrected, applied


def _samples(request: DataRequest, found: TrainingParts, keep: Keeps | None) -> dict[str, Samples]:
    """The samples of each split, all read once."""
    samples = {
        key: checked(request, part, found.classes, keep) for key, part in found.parts.items()
    }
    request.findings.check()
    if words := label_conflicts(list(samples.values()), found.classes):
        request.findings.note(words)
    labels = samples[found.own].labels
    assert labels is not None
    require_samples(labels, found.trained, found.classes)
    _require_groups(request, samples.values())
    return samples


def _divided(
    request: DataRequest, found: TrainingParts, samples: Mapping[str, Samples], *, divides: bool
) -> tuple[Samples, Samples]:
    """Training and validation samples; a missing ``val`` is drawn from training.

    Not ``divides``: all of them for training.
    """
    train, val = samples[found.own], samples.get("val")
    if val is not None and not len(val):
        raise nothing_readable(found.parts["val"].where)
    if not divides:
        both = train if val is None else joined([train, val])
        return both, both.select([])
    if val is None:
        train, val = halves(request, train, found.task)
        if not len(val):
            raise _too_few(found.trained)
    return train, val


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


def _test(request: DataRequest, layout: Layout, found: TrainingParts) -> list[Samples]:
    """The test split, if it is readable, to check for duplicates in training.

    Its errors do not stop training; an evaluation reports them.
    """
    if "test" not in layout:
        return []
    try:
        with request.findings.ignored():
            part = layout["test"](False, (found.task,))
            part = known_groups(part, request.groups, request.kind, below=request.source)
            return [_compared(request.kind, part, found)]
    except DataError:
        return []


def _compared(kind: InputKind, part: Part, found: TrainingParts) -> Samples:
    """Samples with contents and hashes, for comparison only; with labels if all can be read."""
    seen = examine(kind, part.inputs)
    labels = None
    with suppress(ClassesError, DataError):
        if part.labels is not None:
            labels = label_array(part, found.classes, owner=found.trained.where)
    return Samples(
        kind, part.inputs, labels, contents=seen.contents, hashes=seen.hashes, groups=part.groups
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
