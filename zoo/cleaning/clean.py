"""Finds labels that are probably wrong, and writes them for a person to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from zoo.cleaning.default_backbone import default_backbone
from zoo.cleaning.outliers import find_outliers
from zoo.cleaning.page import write_page
from zoo.cleaning.probe import out_of_fold
from zoo.cleaning.results import (
    CONFLICT,
    MISLABELLED,
    OUTLIER,
    Cleaned,
    JudgedLabel,
    as_csv,
)
from zoo.contract.input_options import InputOptions
from zoo.contract.network.backbone import Backbone
from zoo.data.duplicate_sets import sets_of_alike
from zoo.data.group_source import GroupSource
from zoo.data.kind import InputKind
from zoo.data.kinds import opened_as
from zoo.data.memory.source import DataSource, source_name
from zoo.data.options import DataOptions
from zoo.data.rows import Rows, open_rows
from zoo.data.sample_keys import keys_of
from zoo.data.samples import Samples, joined
from zoo.embedding.features import features_of_rows
from zoo.embedding.network import Computing, network_of_backbone, resolved_backbone
from zoo.engine.device import choose_device
from zoo.engine.forward import EXACT
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import DataError, UsageError
from zoo.modalities import all_modalities, modality_of
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.folder import new_folder, refuse_existing
from zoo.runs.request import Request
from zoo.system import files
from zoo.tasks import AUTO, tasks_for
from zoo.tasks.label_quality import require_cleanlab
from zoo.tasks.task import Task

TOP = 200
"""Samples on the page."""

LABELS, PAGE = "labels.csv", "labels.html"


def clean(
    data: DataSource,
    *,
    backbone: str | Backbone | None = None,
    output: str | Path | None = None,
    top: int = TOP,
    weights: str = "auto",
    image_size: int | None = None,
    max_length: int | None = None,
    input: InputOptions = None,  # noqa: A002 - as for zoo.finetune
    task: str = AUTO,
    group_column: str | None = None,
    group_pattern: str | None = None,
    group_table: str | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[DataOptions],
) -> Cleaned:
    """Find labels that are probably wrong, in all splits with labels.

    Each label is judged by linear probes on features of a frozen backbone, trained on other samples.

    Args:
        data: As for :func:`zoo.finetune`, with labels.
        backbone: As for :func:`zoo.finetune`; by default one with weights on this machine.
        output: A folder that does not exist; ``<name of the data>-clean`` by default.
        top: Number of samples on the page.
        weights: As for :func:`zoo.finetune`.
        image_size: As for :func:`zoo.finetune`.
        max_length: As for :func:`zoo.finetune`.
        input: As for :func:`zoo.finetune`.
        task: As for :func:`zoo.finetune`.
        group_column: As for :func:`zoo.finetune`; no group is both learned from and judged.
        group_pattern: As for :func:`zoo.finetune`.
        group_table: As for :func:`zoo.finetune`.
        seed: Random seed of the folds.
        device: As for :func:`zoo.finetune`.
        workers: As for :func:`zoo.finetune`.
        registry: The installed plugins by default.
        reporter: Gets notes and steps.
        options: Options for reading the data.

    Returns:
        All samples, the most doubtful label first; and the files that were written.

    Raises:
        UsageError: An option is not valid, or cleanlab is not installed.
        DataError: The data cannot be read, or has no labels.
        WeightsError: The weights are missing or damaged.
        RunError: The folder exists or cannot be written.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}", hint="The default is --top 200.")
    require_cleanlab()
    folder = Path(output) if output else default_folder(source_name(data))
    refuse_existing(folder)
    registry, reporter = registry or Registry.discover(), reporter or Quiet()
    groups = GroupSource(group_column, group_pattern, group_table)
    resolved = None if backbone is None else resolved_backbone(backbone, registry)
    kinds: Sequence[InputKind] = (modality_of(resolved.spec),) if resolved else all_modalities()
    tasks = tasks_for(task, registry)
    rows = opened_as(
        data, kinds, lambda kind: open_rows(data, kind=kind, tasks=tasks, groups=groups, **options)
    )
    rows = _labelled(rows, source_name(data))
    for fact in rows.notes:
        reporter.note(fact)
    kind = next(iter(rows.splits.values())).kind
    name = backbone or default_backbone(registry, kind.name)
    resolved = resolved or registry.resolve(str(name))
    request = Request(
        backbone=resolved.spec.name if resolved.loader else str(name),
        data=source_name(data),
        weights=weights,
        image_size=image_size,
        max_length=max_length,
        input=input,
    )
    computing = Computing(choose_device(device), workers, EXACT, reporter)
    features = _features(request, resolved, rows, computing)
    fitted = next(each for each in tasks if each.name == rows.task)
    judged = judge(rows, features, fitted, source_name(data), seed=seed)
    return _write(folder, rows, judged, resolved, fitted, top)


def default_folder(source: str) -> Path:
    """The first free folder of ``NAME-clean``, ``NAME-clean-2``, …, after the name of the data."""
    name = Path(source.rstrip("/").rpartition(":")[2]).stem or "data"
    folder, number = Path(f"{name}-clean"), 1
    while folder.exists():
        number += 1
        folder = Path(f"{name}-clean-{number}")
    return folder


def _labelled(rows: Rows, source: str) -> Rows:
    """The splits with labels.

    Raises:
        DataError: There are none, or all labels are the same.
    """
    some = {name: each for name, each in rows.splits.items() if each.labels is not None}
    some = {name: each for name, each in some.items() if len(each)}
    if not some:
        raise DataError(
            f"{source} has no labels to judge",
            hint="Use class folders, or name the column with --label-column.",
        )
    labels = np.concatenate([each.labels for each in some.values() if each.labels is not None])
    if (labels == labels[0]).all():
        raise DataError(
            f"all {len(labels):,} labels of {source} are the same, so none can be judged",
            hint="Add samples of a second class.",
        )
    return replace(rows, splits=some)


def _features(
    request: Request, resolved: Resolved, rows: Rows, computing: Computing
) -> NDArray[np.float32]:
    """Of all splits, ``(N, feature_dim)``."""
    network = network_of_backbone(request, resolved, rows, computing)
    parts = features_of_rows(network, rows, request.data or "", computing.reporter)
    return np.concatenate([parts[name] for name in rows.splits])


def judge(
    rows: Rows, features: NDArray[np.float32], task: Task, source: str, *, seed: int
) -> tuple[str, tuple[JudgedLabel, ...]]:
    """Judge all labels.

    Args:
        rows: The samples.
        features: Theirs, ``(N, D)``.
        task: That of the labels.
        source: The data that the user named.
        seed: Determines the folds.

    Returns:
        What names a sample, ``file`` or ``row``; and the samples, the most doubtful label first.
    """
    named = [keys_of(rows.parts[name], source) for name in rows.splits]
    keys = [key for each in named for key in each.keys]
    splits = [name for name, each in rows.splits.items() for _ in range(len(each))]
    whole = joined(list(rows.splits.values()))
    labels = whole.labels
    assert labels is not None
    task = task.fitted(labels)
    outputs = out_of_fold(features, whole, task, rows.classes, seed=seed)
    found = task.label_quality(outputs, labels)
    near = _conflicts(whole, task)
    far = find_outliers(features, seed)
    order = np.argsort(found.quality, kind="stable")
    return named[0].column, tuple(
        JudgedLabel(
            key=keys[i],
            split=splits[i],
            label=_plain(task.label(labels[i], rows.classes)),
            suggested=_plain(task.label(found.suggested[i], rows.classes)),
            quality=float(found.quality[i]),
            reasons=_reasons(bool(found.wrong[i]), i in near, bool(far[i])),
            near=keys[near[i]] if i in near else "",
            place=i,
        )
        for i in order.tolist()
    )


def _reasons(wrong: bool, conflict: bool, far: bool) -> tuple[str, ...]:
    known = ((wrong, MISLABELLED), (conflict, CONFLICT), (far, OUTLIER))
    return tuple(reason for holds, reason in known if holds)


def _plain(label: Any) -> Any:
    """A label with numbers as short as float32 allows."""
    if isinstance(label, list):
        return [_plain(each) for each in label]
    return float(str(np.float32(label))) if isinstance(label, float) else label


def _conflicts(samples: Samples, task: Task) -> dict[int, int]:
    """The samples with a duplicate or near-duplicate of another label, and the index of one.

    Numbers count as others if they differ by half a standard deviation.
    """
    same, found = sets_of_alike(samples), dict[int, int]()
    if same is None:
        return found
    assert samples.labels is not None
    labels = samples.labels.reshape(len(same), -1)
    tolerance = np.zeros(labels.shape[1]) if task.has_classes else labels.std(axis=0) / 2
    for number in np.flatnonzero(np.bincount(same) > 1):
        members = np.flatnonzero(same == number)
        for index in members:
            differ = np.abs(labels[members] - labels[index]) > tolerance
            others = members[differ.any(axis=1)]
            if len(others):
                found[int(index)] = int(others[0])
    return found


def _write(
    folder: Path,
    rows: Rows,
    judged: tuple[str, tuple[JudgedLabel, ...]],
    resolved: Resolved,
    task: Task,
    top: int,
) -> Cleaned:
    """Write the folder, whole or not at all."""
    column, labels = judged
    result = Cleaned(
        output=folder,
        labels=folder / LABELS,
        page=folder / PAGE,
        backbone=resolved.spec.name,
        column=column,
        judged=labels,
        classes=rows.classes,
        skipped=rows.skipped,
        notes=rows.notes,
    )
    with new_folder(folder, "clean") as temporary:
        files.write_text(temporary / LABELS, as_csv(column, labels))
        write_page(temporary / PAGE, result, rows, task, top)
    return result
