"""What the splits for training and for evaluation are made by: checked samples, halves, splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.data.classes import label_array
from zoo.data.examined import Keeps
from zoo.data.groups import group_split
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, Layout
from zoo.data.readable import readable
from zoo.data.samples import Samples, Splits, content_fingerprint, splits_fingerprint


def checked(
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


def halves(
    request: DataRequest, samples: Samples, task: LabelKind, share: float | None = None
) -> tuple[Samples, Samples]:
    """Split off a share, by default the requested validation share; it may come out empty."""
    labels, groups = samples.labels, samples.groups
    share = request.val_split if share is None else share
    assert labels is not None
    if groups is None or len(np.unique(groups)) < 2:
        train, val = task.split(labels, share, request.seed)
    else:
        train, val = group_split(task.strata(labels), groups, share, request.seed)
    return samples.select(train), samples.select(val)


def without_test(
    request: DataRequest, samples: Samples, task: LabelKind, layout: Layout
) -> tuple[Samples, Samples | None]:
    """Split off the requested test share, unless the data has a test split; ``None`` for none."""
    if not request.test_split or "test" in layout:
        return samples, None
    rest, test = halves(request, samples, task, request.test_split)
    return (rest, test) if len(test) else (samples, None)


def as_splits(
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
