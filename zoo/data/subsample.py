"""A sample of the data that training would see, for a first impression of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data.classes import choose_classes, label_array, require_samples, unify_integer_labels
from zoo.data.kind import InputKind
from zoo.data.labels import AnyLabels, LabelKind
from zoo.data.layouts import DataRequest, layout_of
from zoo.data.readable import readable
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits
from zoo.data.sequences import Indices
from zoo.data.sources.columns import ColumnNames, Columns
from zoo.data.sources.dialects import Quoting
from zoo.data.sources.tables import looks_like_table
from zoo.data.sources.walk import loose_files
from zoo.errors import BadFilesError, DataError

MIN_PER_CLASS = 5
"""Samples of a class that are drawn, of those that there are, however many classes there are."""


def open_subsample(
    source: str | Path,
    *,
    samples: int,
    kinds: Sequence[InputKind],
    tasks: Sequence[LabelKind],
    seed: int = 0,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    bad_files: BadFiles = "error",
    quoting: Quoting | None = None,
) -> Splits:
    """Some samples of the training split, or of data without splits; no other input is read.

    Args:
        source: As for :func:`zoo.data.dataset.open_data`, whose other arguments these are too.
        samples: How many, about; each class has its share, and at least :data:`MIN_PER_CLASS`.
        kinds: What the inputs may be; where there are several, it is found out.
        tasks: As there.
        seed: Decides which are drawn.
        text_column: As there.
        label_column: As there.
        bad_files: As there, of the inputs that are drawn.
        quoting: As there.

    Returns:
        ``train`` alone, in the order of the data; its fingerprint is one of the inputs alone.

    Raises:
        DataError: There is nothing to train on there.
        ClassesError: There are no two classes.
        BadFilesError: Inputs cannot be used, and ``bad_files`` is ``error``.
    """
    columns = Columns.named(text_column, label_column, quoting)
    errors = list[DataError]()
    for kind in _candidate_kinds(str(source), kinds):
        request = DataRequest(str(source), kind, columns, Findings(bad_files), 0.5, seed, tasks)
        try:
            return _opened_subsample(request, samples)
        except BadFilesError:
            raise
        except DataError as error:
            errors.append(error)
    raise errors[0]


def subsample_indices(labels: AnyLabels, count: int, seed: int) -> Indices:
    """Which samples are drawn, ascending: of one label each, each class's share and some of all.

    Args:
        labels: Of N samples.
        count: How many are wanted; all N where there are no more.
        seed: Decides which.
    """
    total = len(labels)
    if total <= count:
        return np.arange(total)
    generator = np.random.default_rng(seed)
    groups = labels.groups()
    if groups is None:
        return np.sort(generator.choice(total, size=count, replace=False))
    chosen = []
    for group in groups:
        members = generator.permutation(group)
        share = round(len(members) * count / total)
        chosen.append(members[: max(share, MIN_PER_CLASS)])
    return np.sort(np.concatenate(chosen))


def _candidate_kinds(source: str, kinds: Sequence[InputKind]) -> Sequence[InputKind]:
    """What the inputs may be, the likelier first: a table holds paths of files less often."""
    path = Path(os.path.expanduser(source))
    likelier = sorted(kinds, key=lambda kind: kind.in_files)
    if os.path.isdir(path) and not any(map(looks_like_table, loose_files(path))):
        return [kind for kind in likelier if kind.in_files] or likelier
    return likelier


def _opened_subsample(request: DataRequest, count: int) -> Splits:
    layout = layout_of(request)
    own = "train" if "train" in layout else "all"
    if own not in layout:
        raise DataError(
            f"{request.source} has {' and '.join(layout)}, but nothing to train on",
            hint="Put the training data beside it, called train.",
        )
    part = unify_integer_labels({own: layout[own](True, request.tasks)}, (), request.findings)[own]
    request.findings.settle()
    classes = choose_classes(part)
    part = part.take(subsample_indices(part.known, count, request.seed))
    seen = readable(part, request.kind, request.findings)
    part, fingerprint = seen.part, seen.fingerprint
    request.findings.settle()
    labels = label_array(part, classes, owner=part.where)
    require_samples(labels, part, classes)
    part.known_task.require_variety(labels, part.where, classes)
    samples = Samples(request.kind, part.inputs, labels, fingerprint, traits=seen.found.traits)
    return Splits(
        kind=request.kind,
        classes=classes,
        train=samples,
        val=None,
        test=None,
        fingerprint=fingerprint,
        source=request.source,
        skipped=request.findings.skipped,
        notes=tuple(request.findings.notes),
        task=part.known_task.name,
    )
