"""Open a dataset: read its splits, merge their classes and check every input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from zoo.data.evaluation_splits import evaluation_splits
from zoo.data.examined import Keeps
from zoo.data.group_source import NO_GROUPS, GroupSource
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind
from zoo.data.layouts import DataRequest, layout_of
from zoo.data.memory.source import DataSource, source_name
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Splits
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns
from zoo.data.sources.dialects import Quoting
from zoo.data.splitting import check_share
from zoo.data.training_splits import training_splits


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
    corrections: str | None = None,
    test_split: float = 0.0,
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
        need: ``train`` reads ``train`` and ``val``. ``folds`` reads both into ``train``, and leaves
            ``val`` empty. ``evaluate`` reads ``val`` and ``test`` if
            they have labels, or else everything (:meth:`Splits.to_evaluate`).
        known_classes: For an evaluation, the class names or target columns of the run.
        learned: For an evaluation, the columns that the run was trained on; used by default.
        quoting: Quoting of CSV and TSV files: ``double``, ``backslash`` or ``none``; ``None`` or
            ``auto`` to detect it.
        groups: Where the group of a sample is found; a split that is made here divides none, and
            groups that given splits share are reported. In an evaluation as in training, where the
            data has them.
        corrections: For training, a CSV of samples to relabel or drop
            (:mod:`zoo.data.corrections`).
        test_split: The share, below 1, that is set aside as ``test`` before that if the data has
            no test split: neither trained on nor validated on.
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
        source_name(source),
        kind,
        columns,
        findings,
        val_split,
        seed,
        tasks,
        source,
        groups,
        corrections,
        test_split,
    )
    layout = layout_of(request)
    if need == "evaluate":
        return evaluation_splits(request, layout, known_classes)
    divides = need == "train"
    return training_splits(request, layout, classes, dedupe=dedupe, keep=keep, divides=divides)
