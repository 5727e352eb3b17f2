"""All samples of some data, in their order, with labels or without; nothing is held out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data.classes import label_array, sort_classes, unify_integer_labels
from zoo.data.inputs import open_inputs
from zoo.data.kind import InputKind
from zoo.data.labels import LabelKind, Part
from zoo.data.layouts import DataRequest, layout_of
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
    """What :func:`open_rows` found.

    Attributes:
        splits: ``train``, ``val`` and ``test``, in this order, of those that there are; ``all`` of
            data without splits. ``labels`` is ``None`` where a split has none. The fingerprint
            is one of the inputs alone.
        classes: Names of classes, or of columns of numbers, over all splits; empty without labels.
        task: What the labels are; ``None`` without any.
        skipped: What was left out because it could not be read, one ``path: reason`` each.
        notes: What else has been left out or guessed, a fact each.
    """

    splits: Mapping[str, Samples]
    classes: tuple[str, ...]
    task: str | None
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))


def open_rows(
    source: str | Path,
    *,
    kind: InputKind,
    tasks: Sequence[LabelKind],
    split: str | None = None,
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    bad_files: BadFiles = "error",
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
) -> Rows:
    """Open a folder, a table or a Hub dataset as :func:`zoo.data.dataset.open_data` does, labels or not.

    Also images that lie in a folder without class folders, a single image, and a ``.txt`` file
    with a text a line: those have no labels.

    Args:
        source: What the user named.
        kind: What the backbone takes: a modality.
        tasks: As for :func:`zoo.data.dataset.open_data`.
        split: One split alone.
        text_column: As for :func:`zoo.data.dataset.open_data`.
        label_column: As there.
        bad_files: As there.
        learned: As there.
        quoting: As there.

    Raises:
        DataError: There is nothing of this kind there, or no such split.
        BadFilesError: Inputs cannot be used, and ``bad_files`` is ``error``.
    """
    columns = Columns.named(text_column, label_column, quoting).learned(learned)
    findings = Findings(bad_files)
    parts = _parts(DataRequest(str(source), kind, columns, findings, 0.5, 0, tasks))
    if split is not None and split not in parts:
        raise DataError(f"{source} has no split {split!r}", hint=f"It has: {', '.join(parts)}.")
    chosen = parts if split is None else {split: parts[split]}
    found = {name: readable(part, kind, findings) for name, part in chosen.items()}
    findings.settle()
    chosen = unify_integer_labels({name: each.part for name, each in found.items()}, (), findings)
    classes = _classes(chosen)
    splits = {
        name: Samples(
            kind,
            part.inputs,
            _labels(part, classes, str(source)),
            found[name].fingerprint,
            traits=found[name].found.traits,
        )
        for name, part in chosen.items()
    }
    if not any(map(len, splits.values())):
        raise DataError(f"{source} has nothing that can be read")
    known = [part.known_task.name for part in chosen.values() if part.labels is not None]
    return Rows(
        splits, classes, known[0] if known else None, findings.skipped, tuple(findings.notes)
    )


def _parts(request: DataRequest) -> dict[str, Part]:
    if _unlabelled(request):
        samples = open_inputs([request.source], request.kind, findings=request.findings)
        return {"all": Part(request.source, samples.inputs, None)}
    layout = layout_of(request)
    parts = {name: layout[name](False, request.tasks) for name in _ORDER if name in layout}
    request.findings.settle()
    return parts


def _unlabelled(request: DataRequest) -> bool:
    """Whether the source is inputs alone: a file of one or of several, or files without folders."""
    path, kind = Path(os.path.expanduser(request.source)), request.kind
    if kind.in_files and os.path.isdir(path):
        return any(map(kind.is_file, loose_files(path))) and not visible_folders(path)
    return kind.is_file(path) and os.path.isfile(path)


def _classes(parts: Mapping[str, Part]) -> tuple[str, ...]:
    """Names over all splits, sorted unless their publisher has ordered them."""
    labels = [part.labels for part in parts.values() if part.labels is not None]
    if any(each.ordered for each in labels):
        return tuple(dict.fromkeys(name for each in labels for name in each.names))
    return tuple(sort_classes(name for each in labels for name in each.names))


def _labels(part: Part, classes: tuple[str, ...], owner: str) -> LabelArray | None:
    return None if part.labels is None else label_array(part, classes, owner=owner)
