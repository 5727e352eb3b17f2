"""A random subsample of the training data, for ranking backbones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.data.classes import choose_classes, label_array, require_samples, unify_integer_labels
from zoo.data.kind import InputKind
from zoo.data.kinds import opened_as
from zoo.data.labels import AnyLabels, LabelKind
from zoo.data.layouts import DataRequest, layout_of, training_key
from zoo.data.memory.source import DataSource, source_name
from zoo.data.readable import readable
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples, Splits
from zoo.data.sequences import Indices
from zoo.data.sources.columns import ColumnNames, Columns
from zoo.data.sources.dialects import Quoting

MIN_PER_CLASS = 5
"""Samples drawn from each class, as far as it has them, however many classes there are."""


def open_subsample(
    source: DataSource,
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
    """A stratified subsample of the training split; no other input is read.

    The arguments not described here are those of :func:`zoo.data.dataset.open_data`.

    Args:
        source: The data.
        samples: About how many; each class gets its share, but at least :data:`MIN_PER_CLASS`.
        kinds: The possible modalities; if several, the data decides.
        tasks: The possible tasks.
        seed: Determines the draw.
        text_column: Column of the inputs.
        label_column: Column of the labels.
        bad_files: What to do with unreadable inputs among those drawn.
        quoting: Of CSV and TSV files.

    Returns:
        Splits with ``train`` only, in the order of the data; its fingerprint covers the inputs
        without labels.

    Raises:
        DataError: There is no training data.
        ClassesError: There are fewer than two classes.
        BadFilesError: An input cannot be read, and ``bad_files`` is ``error``.
    """
    columns = Columns.named(text_column, label_column, quoting)
    where = source_name(source)

    def open_as(kind: InputKind) -> Splits:
        request = DataRequest(where, kind, columns, Findings(bad_files), 0.5, seed, tasks, source)
        return _opened_subsample(request, samples)

    return opened_as(source, kinds, open_as)


def subsample_indices(labels: AnyLabels, count: int, seed: int) -> Indices:
    """Indices of the drawn samples, ascending; stratified if samples have one class each.

    Args:
        labels: Labels of N samples.
        count: How many to draw; all N if there are no more.
        seed: Determines the draw.
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


def _opened_subsample(request: DataRequest, count: int) -> Splits:
    layout = layout_of(request)
    key = training_key(request, layout)
    part = unify_integer_labels({key: layout[key](True, request.tasks)}, (), request.findings)[key]
    request.findings.check()
    classes = choose_classes(part)
    part = part.take(subsample_indices(part.known, count, request.seed))
    seen = readable(part, request.kind, request.findings)
    part, fingerprint = seen.part, seen.fingerprint
    request.findings.check()
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
