"""The splits to evaluate on: labelled ``val`` and ``test``, or else all of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.data.checked_splits import as_splits, checked, halves, without_test
from zoo.data.classes import (
    choose_classes,
    label_array,
    nothing_readable,
    unify_integer_labels,
)
from zoo.data.groups import known_groups
from zoo.data.labels import Part
from zoo.data.layouts import DataRequest, Layout
from zoo.data.samples import Splits
from zoo.data.sources.columns import Columns


def evaluation_splits(request: DataRequest, layout: Layout, known: Sequence[str] | None) -> Splits:
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
    samples = {key: checked(request, part, classes) for key, part in parts.items()}
    request.findings.check()
    for key, part in parts.items():
        if not len(samples[key]):
            raise nothing_readable(part.where)
    if "all" not in samples:
        nothing = next(iter(samples.values())).select([])
        val, test = samples.get("val"), samples.get("test")
        return as_splits(request, classes, task, train=nothing, val=val, test=test)
    whole = samples["all"]
    rest, test = without_test(request, whole, task, layout)
    train, val = halves(request, rest, task)
    return as_splits(request, classes, task, train=train, val=val, test=test, whole=whole)


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
