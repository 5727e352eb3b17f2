"""All samples of a dataset in their order, with or without labels; nothing is held out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.classes import label_array, nothing_readable, sort_classes, unify_integer_labels
from zoo.data.group_source import NO_GROUPS, GroupSource
from zoo.data.groups import grouped
from zoo.data.inputs import open_inputs
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, layout_of
from zoo.data.memory.source import DataSource, is_path, source_name
from zoo.data.readable import readable
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import LabelArray, Samples
from zoo.data.sources.columns import NO_COLUMNS, ColumnNames, Columns
from zoo.data.sources.dialects import Quoting
from zoo.data.sources.walk import loose_files, visible_folders
from zoo.errors import DataError

_ORDER = ("all", "train", "val", "test")


@dataclass(frozen=True)
class Rows:
    """The result of :func:`open_rows`.

    Attributes:
        splits: Those of ``train``, ``val`` and ``test`` that exist, in this order, or ``all``.
            ``labels`` may be ``None``. Fingerprints cover the inputs without labels.
        classes: Class names or target columns over all splits; empty without labels.
        task: The task of the labels; ``None`` without labels.
        skipped: Unreadable inputs that were left out, one ``path: reason`` each.
        notes: What else was left out or guessed, one note each.
        parts: The splits as they were read, without unreadable inputs.
    """

    splits: Mapping[str, Samples]
    classes: tuple[str, ...]
    task: str | None
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    parts: Mapping[str, Part] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))


def open_rows(
    source: DataSource,
    *,
    kind: InputKind,
    tasks: Sequence[LabelKind],
    split: str | None = None,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    bad_files: BadFiles = "error",
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
    groups: GroupSource = NO_GROUPS,
) -> Rows:
    """Open a folder, a table or a Hub dataset, labelled or not.

    Beyond what :func:`zoo.data.dataset.open_data` opens, this takes unlabelled inputs: a folder of
    images without class folders, a single image, and a ``.txt`` file with one text per line. The
    arguments not described here are those of that function.

    Args:
        source: The data.
        kind: The modality of the backbone.
        tasks: The possible tasks.
        split: Read only this split.
        text_column: Column of the inputs.
        label_column: Column of the labels.
        bad_files: How to treat unreadable inputs.
        learned: The columns that the run was trained on.
        quoting: Of CSV and TSV files.
        groups: Where the group of a sample is found.

    Raises:
        DataError: There are no inputs of this modality, or no such split.
        BadFilesError: Inputs cannot be read, and ``bad_files`` is ``error``.
    """
    columns = Columns.named(text_column, label_column, quoting).learned(learned)
    findings = Findings(bad_files)
    where = source_name(source)
    groups.check()
    request = DataRequest(where, kind, columns, findings, 0.5, 0, tasks, source, groups)
    parts = _parts(request)
    if split is not None and split not in parts:
        raise DataError(f"{where} has no split {split!r}", hint=f"Splits: {', '.join(parts)}.")
    chosen = parts if split is None else {split: parts[split]}
    chosen = {
        name: grouped(part, groups, kind, findings, below=where) for name, part in chosen.items()
    }
    found = {name: readable(part, kind, findings) for name, part in chosen.items()}
    findings.check()
    chosen = unify_integer_labels({name: each.part for name, each in found.items()}, (), findings)
    classes = _classes(chosen)
    splits = {
        name: Samples(
            kind,
            part.inputs,
            _labels(part, classes, where),
            found[name].fingerprint,
            contents=found[name].found.contents,
            hashes=found[name].found.hashes,
            traits=found[name].found.traits,
            groups=part.groups,
        )
        for name, part in chosen.items()
    }
    if not any(map(len, splits.values())):
        raise nothing_readable(where)
    known = [part.known_task.name for part in chosen.values() if part.labels is not None]
    return Rows(
        splits,
        classes,
        known[0] if known else None,
        findings.skipped,
        tuple(findings.notes),
        chosen,
    )


def _parts(request: DataRequest) -> dict[str, Part]:
    if is_path(request.given) and _unlabelled(request):
        samples = open_inputs([request.source], request.kind, findings=request.findings)
        return {"all": Part(request.source, samples.inputs, None)}
    layout = layout_of(request)
    parts = {name: layout[name](False, request.tasks) for name in _ORDER if name in layout}
    request.findings.check()
    return parts


def _unlabelled(request: DataRequest) -> bool:
    """Whether the source is just inputs: one file, or a folder of files without class folders."""
    path, kind = Path(os.path.expanduser(request.source)), request.kind
    if kind.in_files and os.path.isdir(path):
        return any(map(kind.is_file, loose_files(path))) and not visible_folders(path)
    return kind.is_file(path) and os.path.isfile(path)


def _classes(parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The classes of all splits, sorted unless the dataset defines their order."""
    labels = [part.labels for part in parts.values() if part.labels is not None]
    if any(each.ordered for each in labels):
        return tuple(dict.fromkeys(name for each in labels for name in each.names))
    return tuple(sort_classes(name for each in labels for name in each.names))


def _labels(part: Part, classes: tuple[str, ...], owner: str) -> LabelArray | None:
    return None if part.labels is None else label_array(part, classes, owner=owner)
