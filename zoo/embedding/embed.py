"""Features of all samples of a dataset, written to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from zoo.contract.input_options import InputOptions
from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import ImageInput
from zoo.data.kind import InputKind
from zoo.data.memory.source import DataSource, source_name
from zoo.data.options import DataOptions
from zoo.data.reports import BadFiles, Findings
from zoo.data.rows import Rows, open_rows
from zoo.data.samples import Samples
from zoo.data.sources.columns import ColumnNames, Columns
from zoo.embedding.features import features_of_rows
from zoo.embedding.files import Features, check_output, write_features
from zoo.embedding.network import (
    Computing,
    Network,
    network_of_backbone,
    network_of_run,
    resolved_backbone,
    run_of,
)
from zoo.engine.device import choose_device
from zoo.engine.extraction import cut_beside
from zoo.engine.forward import EXACT
from zoo.engine.progress import Quiet, Reporter
from zoo.modalities import modality_of
from zoo.modalities.image.not_seen import Reading
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.request import OPTIONS, Request, Resize
from zoo.runs.run import Run
from zoo.tasks import AUTO, tasks_for
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Result of :func:`embed`.

    Attributes:
        output: The file of features.
        rows: The file with the names of the rows; ``output`` itself for Parquet.
        backbone: Canonical name.
        run: The run folder, or ``None`` for a backbone.
        splits: Number of rows by split, in their order.
        feature_dim: Width of the features.
        precision: In which the backbone computed, e.g. ``fp32``; the file holds float32.
        classes: Names of classes or regression targets; empty without labels.
        skipped: Unreadable inputs, one ``path: reason`` each.
        notes: What else was ignored, guessed or cut off, one fact each.
    """

    output: Path
    rows: Path
    backbone: str
    run: Path | None
    splits: Mapping[str, int]
    feature_dim: int
    precision: str
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of rows."""
        return sum(self.splits.values())

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data, with ``samples``."""
        return {
            **vars(self),
            "output": str(self.output),
            "rows": str(self.rows),
            "run": str(self.run) if self.run else None,
            "samples": self.samples,
            "splits": dict(self.splits),
            "classes": list(self.classes),
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }


def embed(
    backbone: str | Path | Run | Backbone,
    data: DataSource,
    *,
    output: str | Path,
    split: str | None = None,
    weights: str = "auto",
    image_size: int | None = None,
    channels: int | None = None,
    resize: Resize | None = None,
    value_range: tuple[float, float] | None = None,
    input: InputOptions = None,  # noqa: A002 - as for zoo.finetune
    max_length: int | None = None,
    task: str = AUTO,
    precision: str = EXACT,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[DataOptions],
) -> Embedded:
    """Write the features of every sample, in the order of the data, split after split.

    Features are read from the cache, or computed and cached. Only names and labels of the samples
    are held in memory.

    Args:
        backbone: As for :func:`zoo.finetune`; or a run or its folder: its fine-tuned backbone, with
            its own preprocessing and columns.
        data: As for :func:`zoo.finetune`, with or without labels.
        output: ``.parquet``, ``.npy`` or ``.safetensors``; docs/choosing.md describes each.
        split: Embed this split only.
        weights: As for :func:`zoo.finetune`; not for a run, nor the next six.
        image_size: As for :func:`zoo.finetune`.
        channels: As for :func:`zoo.finetune`.
        resize: As for :func:`zoo.finetune`.
        value_range: As for :func:`zoo.finetune`; by default found from the first split.
        input: As for :func:`zoo.finetune`.
        max_length: As for :func:`zoo.finetune`.
        task: As for :func:`zoo.finetune`.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``auto``, which chooses what is fast.
        device: As for :func:`zoo.finetune`.
        workers: As for :func:`zoo.finetune`.
        registry: The installed plugins by default.
        reporter: Gets notes and steps.
        options: Options for reading the data.

    Raises:
        UsageError: An option is not valid, or the format of ``output`` is not supported.
        DataError: The data cannot be read.
        WeightsError: The weights are missing or damaged.
        RunError: The run cannot be read, or the output cannot be written.
    """
    target = Path(output)
    check_output(target)
    OPTIONS["precision"].check(precision)
    registry, reporter = registry or Registry.discover(), reporter or Quiet()
    own: dict[str, Any] = {
        "weights": weights,
        "image_size": image_size,
        "channels": channels,
        "resize": resize,
        "value_range": value_range,
        "input": input,
        "max_length": max_length,
    }
    run = run_of(backbone, registry, own)
    resolved = Resolved(run.spec) if run else resolved_backbone(backbone, registry)
    rows = _open(data, modality_of(resolved.spec), tasks_for(task), split, run, options)
    _note(rows.notes, reporter)
    computing = Computing(choose_device(device), workers, precision, reporter)
    if run is not None:
        network = network_of_run(run, computing)
    else:
        name = resolved.spec.name if resolved.loader else str(backbone)
        request = Request(backbone=name, data=source_name(data), precision=precision, **own)
        network = network_of_backbone(request, resolved, rows, computing)
    return _write(target, network, run, rows, source_name(data), reporter)


def _write(
    target: Path, network: Network, run: Run | None, rows: Rows, source: str, reporter: Reporter
) -> Embedded:
    """Compute the features of all rows, and write them."""
    parts = features_of_rows(network, rows, source, reporter)
    notes = (*_not_seen(network, run, rows), *_truncated(network, parts))
    _note(notes, reporter)
    return Embedded(
        output=target,
        rows=write_features(target, rows, parts),
        backbone=network.spec.name,
        run=network.run,
        splits={name: len(samples) for name, samples in rows.splits.items()},
        feature_dim=network.spec.feature_dim,
        precision=network.forward.precision,
        classes=rows.classes,
        skipped=rows.skipped,
        notes=(*rows.notes, *notes),
    )


def _note(facts: Sequence[str], reporter: Reporter) -> None:
    for fact in facts:
        reporter.note(fact)


def _open(
    data: DataSource,
    kind: InputKind,
    tasks: Sequence[Task],
    split: str | None,
    run: Run | None,
    options: DataOptions,
) -> Rows:
    """The rows; by default with the columns of the run."""
    if run is None:
        return open_rows(data, kind=kind, tasks=tasks, split=split, **options)
    learned = run.learned_columns
    own: DataOptions = {
        **options,
        "text_column": options.get("text_column") or _columns_of(run),
        "quoting": options.get("quoting") or learned.quoting,
    }
    rows = open_rows(data, kind=kind, tasks=tasks, split=split, learned=learned, **own)
    return _fitting(run, rows, options.get("bad_files", "error"))


def _columns_of(run: Run) -> ColumnNames:
    """The input columns that the user named in training."""
    return Columns.named(run.record["data"].get("text_column")).inputs or None


# -- unread parts -------------------------------------------------------------------------------


def _fitting(run: Run, rows: Rows, bad_files: BadFiles) -> Rows:
    """The rows without images on another scale than those of training.

    Raises:
        BadFilesError: ``bad_files`` is ``error`` and there are such images, or none are left.
    """
    reading, findings, splits = run.reading, Findings(bad_files), dict[str, Samples]()
    if reading is None:
        return rows
    for name, samples in rows.splits.items():
        misfits = reading.misfits(samples.traits) if samples.traits is not None else {}
        for i, reason in misfits.items():
            findings.add(samples.input(i), reason)
        good = [i for i in range(len(samples)) if i not in misfits]
        splits[name] = samples.select(good) if misfits else samples
    if not any(map(len, splits.values())):
        findings.mode = "error"
    findings.check()
    return replace(rows, splits=splits, skipped=(*rows.skipped, *findings.skipped))


def _not_seen(network: Network, run: Run | None, rows: Rows) -> tuple[str, ...]:
    """Facts on the value range and the cropping of images; none for texts."""
    known = [each.traits for each in rows.splits.values() if each.traits is not None]
    given = network.spec.input
    if not known or not isinstance(given, ImageInput):
        return ()
    reading = (run.reading if run else None) or Reading(given)
    return tuple(reading.with_range(np.concatenate(known)).values())


def _truncated(network: Network, parts: Mapping[str, Features]) -> tuple[str, ...]:
    """How many texts are truncated, also where their features are from the cache."""
    note = modality_of(network.spec).truncation_note(
        sum(cut_beside(part) for part in parts.values()),
        sum(map(len, parts.values())),
        network.spec,
        trained=network.run is not None,
    )
    return (note,) if note else ()
