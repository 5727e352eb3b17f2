"""Features of all samples of some data, in files that other programs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from zoo.contract.spec import ImageInput
from zoo.data.kind import InputKind
from zoo.data.options import DataOptions
from zoo.data.reports import BadFiles, Findings
from zoo.data.rows import Rows, open_rows
from zoo.data.samples import Samples
from zoo.data.sources.columns import ColumnNames, Columns
from zoo.embedding.files import Features, check_output, write_features
from zoo.embedding.network import Network, network_of_backbone, network_of_run, run_of
from zoo.engine.device import choose_device
from zoo.engine.extraction import CUT, cut_beside, fill_features
from zoo.engine.features import backbone_key, compute
from zoo.engine.progress import Quiet, Reporter
from zoo.modalities import modality_of
from zoo.modalities.image.not_seen import Reading
from zoo.registry.registry import Registry
from zoo.runs.python_names import python_names
from zoo.runs.request import Request, Resize
from zoo.runs.run import Run
from zoo.system.paths import cache_folder
from zoo.tasks import AUTO, tasks_for
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What came of :func:`embed`.

    Attributes:
        output: The file of features.
        rows: The file that names the rows of ``output``; ``output`` itself where that does.
        backbone: Canonical name.
        run: The run folder whose backbone it is, or ``None``.
        splits: How many rows are of each split, in their order.
        feature_dim: Width of the features.
        classes: What the numbers in ``labels`` stand for; columns of numbers; empty without labels.
        skipped: Inputs that were left out, one ``path: reason`` each.
        notes: What else was left out, guessed or not seen by the network, a fact each.
    """

    output: Path
    rows: Path
    backbone: str
    run: Path | None
    splits: Mapping[str, int]
    feature_dim: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Rows."""
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


@python_names()
def embed(
    backbone: str | Path,
    data: str | Path,
    *,
    output: str | Path,
    split: str | None = None,
    weights: str = "auto",
    image_size: int | None = None,
    resize: Resize | None = None,
    value_range: tuple[float, float] | None = None,
    max_length: int | None = None,
    task: str = AUTO,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Unpack[DataOptions],
) -> Embedded:
    """Write the features of every sample, in the order of the data, split after split.

    They come from the feature cache where they are there, and go into it where they are not. What
    is in memory does not grow with the number of samples but for their names and labels.

    Args:
        backbone: A name as in ``zoo list``, or the folder of a run: then its adapted backbone, with
            its own preprocessing and columns.
        data: A folder, a table, ``hf:<name>``; with labels or without.
        output: ``.parquet``, ``.npy`` or ``.safetensors``; docs/choosing.md has what is in each.
        split: One split alone.
        weights: ``auto``, ``none``, a tag, or a path; of a run always its own.
        image_size: Height and width in pixels; of a run always its own.
        resize: As for :func:`zoo.finetune`; of a run always its own.
        value_range: As there; by default found from the first split; of a run always its own.
        max_length: Tokens a text is cut to; of a run always its own.
        task: As there.
        device: As there.
        workers: As there.
        registry: What is installed by default.
        reporter: Sees the steps.
        options: How the data are read.

    Raises:
        UsageError: An option that cannot be, or a file of no known kind.
        DataError: The data cannot be read.
        WeightsError: The weights cannot be had, or there are none.
        RunError: The run cannot be read, or the output cannot be written.
    """
    target = Path(output)
    check_output(target)
    registry, reporter = registry or Registry.discover(), reporter or Quiet()
    own: dict[str, Any] = {
        "weights": weights,
        "image_size": image_size,
        "resize": resize,
        "value_range": value_range,
        "max_length": max_length,
    }
    run = run_of(backbone, registry, own)
    spec = run.spec if run else registry.resolve(str(backbone)).spec
    rows = _open(data, modality_of(spec), tasks_for(task), split, run, options)
    for fact in rows.notes:
        reporter.note(fact)
    place = choose_device(device)
    if run is not None:
        network = network_of_run(run, place, workers)
    else:
        request = Request(backbone=str(backbone), data=str(data), **own)
        network = network_of_backbone(request, rows, place, workers, registry, reporter)
    parts = {
        name: _features(network, samples, name, str(data), reporter)
        for name, samples in rows.splits.items()
    }
    notes = (*_not_seen(network, run, rows), *_cut(network, parts))
    for fact in notes:
        reporter.note(fact)
    return Embedded(
        output=target,
        rows=write_features(target, rows, parts),
        backbone=network.spec.name,
        run=network.run,
        splits={name: len(samples) for name, samples in rows.splits.items()},
        feature_dim=network.spec.feature_dim,
        classes=rows.classes,
        skipped=rows.skipped,
        notes=(*rows.notes, *notes),
    )


def _open(
    data: str | Path,
    kind: InputKind,
    tasks: Sequence[Task],
    split: str | None,
    run: Run | None,
    options: DataOptions,
) -> Rows:
    """The rows, read by the columns of the run where the user names no others."""
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
    """The columns of inputs that were named when the run was trained."""
    return Columns.named(run.record["data"].get("text_column")).inputs or None


# -- what is not seen --------------------------------------------------------------------------


def _fitting(run: Run, rows: Rows, bad_files: BadFiles) -> Rows:
    """Without images that are on another scale than those that the run was trained on.

    Raises:
        BadFilesError: There are some, and ``bad_files`` is ``error``; or there are no others.
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
    """The scale of grey and what of the images is not seen, a fact each; nothing of texts."""
    known = [each.traits for each in rows.splits.values() if each.traits is not None]
    given = network.spec.input
    if not known or not isinstance(given, ImageInput):
        return ()
    reading = (run.reading if run else None) or Reading(given)
    return tuple(reading.with_range(np.concatenate(known)).values())


def _cut(network: Network, parts: Mapping[str, Features]) -> tuple[str, ...]:
    """How many texts are truncated, also where their features are from the cache."""
    note = modality_of(network.spec).truncation_note(
        sum(cut_beside(part) for part in parts.values()),
        sum(map(len, parts.values())),
        network.spec,
        trained=network.run is not None,
    )
    return (note,) if note else ()


def _features(
    network: Network, samples: Samples, split: str, source: str, reporter: Reporter
) -> Features:
    """The features of a split, mapped into memory; ``(N, feature_dim)``."""
    forward, width = network.forward, network.spec.feature_dim
    if not len(samples):
        return np.empty((0, width), dtype=np.float32)
    limit = getattr(network.spec.input, "max_length", None)
    facts: dict[str, str | int] = {
        "backbone": network.spec.name,
        "precision": forward.precision,
        "data": source,
        "split": split,
        "samples": len(samples),
    }

    def fill(array: NDArray[np.float32]) -> None:
        facts[CUT] = fill_features(array, samples, network.loaders, forward, reporter)

    return compute(
        cache_folder() / "features",
        key=(
            backbone_key(forward.backbone, forward.precision),
            samples.fingerprint,
            f"{limit}",
        ),
        shape=(len(samples), width),
        dtype=np.float32,
        fill=fill,
        facts=facts,
        reporter=reporter,
    )
