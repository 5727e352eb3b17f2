"""Features of all samples of some data, in files that other programs read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.contract.spec import BackboneSpec, ImageInput, TextInput
from zoo.data.cells import Wish
from zoo.data.columns import ColumnNames, Columns
from zoo.data.dialects import Quoting
from zoo.data.reports import BadFiles, Findings
from zoo.data.rows import Rows, open_rows
from zoo.data.samples import Samples, Splits
from zoo.embedding.files import Features, check_output, write_features
from zoo.engine.device import choose_device
from zoo.engine.extraction import CUT, cut_beside, fill_features
from zoo.engine.features import backbone_key, compute
from zoo.engine.feed import Feed
from zoo.engine.forward import Forward
from zoo.engine.progress import Quiet, Reporter
from zoo.errors import UsageError
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.text.tokenization import cut_in_words
from zoo.registry.registry import Registry
from zoo.registry.run_record import LOCK_FILE, MODEL
from zoo.runs.request import FLAGS, Request, Resize
from zoo.runs.run import Run
from zoo.system.paths import cache_folder
from zoo.training.start import start_from, tokenizer_beside
from zoo.weights.load import choose


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


@dataclass(frozen=True)
class _Network:
    """A backbone that is ready, and what prepares its inputs."""

    forward: Forward
    feed: Feed
    run: Path | None

    @property
    def spec(self) -> BackboneSpec:
        return self.forward.backbone.spec


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
    text_column: ColumnNames = None,
    label_column: ColumnNames = None,
    task: Wish = "auto",
    bad_files: BadFiles = "error",
    quoting: Quoting | None = None,
    device: str = "auto",
    workers: int | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
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
        text_column: As for :func:`zoo.finetune`.
        label_column: As there.
        task: As there.
        bad_files: As there.
        quoting: As there.
        device: As there.
        workers: As there.
        registry: What is installed by default.
        reporter: Sees the steps.

    Raises:
        UsageError: An option that cannot be, or a file of no known kind.
        DataError: The data cannot be read.
        WeightsError: The weights cannot be had, or there are none.
        RunError: The run cannot be read, or the output cannot be written.
    """
    target = Path(output)
    check_output(target)
    registry, reporter = registry or Registry.discover(), reporter or Quiet()
    own = {
        "weights": weights,
        "image_size": image_size,
        "resize": resize,
        "value_range": value_range,
        "max_length": max_length,
    }
    run = _run_of(backbone, registry, own)
    columns = text_column or (run and _columns_of(run)) or None
    modality = run.spec.modality if run else registry.resolve(str(backbone)).spec.modality
    rows = open_rows(
        data,
        modality=modality,
        split=split,
        text_column=columns,
        label_column=label_column,
        task=task,
        bad_files=bad_files,
        quoting=quoting or (run.learned_columns.quoting if run else None),
        learned=run.learned_columns if run else Columns(),
    )
    for fact in rows.notes:
        reporter.note(fact)
    if run is not None:
        rows = _fitting(run, rows, bad_files)
    place = choose_device(device)
    if run is not None:
        network = _of_run(run, place, workers)
    else:
        network = _of_backbone(
            str(backbone), own, rows, str(data), place, workers, registry, reporter
        )
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
    findings.settle()
    return replace(rows, splits=splits, skipped=(*rows.skipped, *findings.skipped))


def _not_seen(network: _Network, run: Run | None, rows: Rows) -> tuple[str, ...]:
    """The scale of grey and what of the images is not seen, a fact each; nothing of texts."""
    known = [each.traits for each in rows.splits.values() if each.traits is not None]
    given = network.spec.input
    if not known or not isinstance(given, ImageInput):
        return ()
    reading = (run.reading if run else None) or Reading(given)
    return tuple(reading.with_range(np.concatenate(known)).values())


def _cut(network: _Network, parts: Mapping[str, Features]) -> tuple[str, ...]:
    """How many texts are cut, also where their features are from the cache."""
    given = network.spec.input
    if not isinstance(given, TextInput):
        return ()
    cut = sum(cut_beside(part) for part in parts.values())
    words = cut_in_words(cut, sum(map(len, parts.values())), given, trained=network.run is not None)
    return (words,) if words else ()


# -- the network -------------------------------------------------------------------------------


def _run_of(given: str | Path, registry: Registry, own: Mapping[str, Any]) -> Run | None:
    """The run that is meant, by its folder or by the name that ``zoo add`` gave it."""
    folder = Path(os.path.expanduser(given))
    if not os.path.isfile(folder / LOCK_FILE):
        resolved = registry.resolve(str(given))
        if resolved.run is None or own["weights"] != "auto":
            return None
        folder = resolved.run.folder
    for option, value in own.items():
        if value not in ("auto", None):
            name = FLAGS.get(option, option).replace("_", "-")
            raise UsageError(
                f"--{name} is not for a run, which has its own", hint=f"Leave --{name} out."
            )
    return Run(folder, registry=registry)


def _columns_of(run: Run) -> ColumnNames:
    """The columns of inputs that were named when the run was trained."""
    return Columns.named(run.record["data"].get("text_column")).inputs or None


def _of_run(run: Run, device: torch.device, workers: int | None) -> _Network:
    forward = Forward(run.load(), device=device, precision="fp32")
    tokenizer = tokenizer_beside(run.folder / MODEL) if run.spec.input.tokens else None
    return _Network(forward, Feed(spec=run.spec, tokenizer=tokenizer, workers=workers), run.folder)


def _of_backbone(
    name: str,
    own: Mapping[str, Any],
    rows: Rows,
    source: str,
    device: torch.device,
    workers: int | None,
    registry: Registry,
    reporter: Reporter,
) -> _Network:
    resolved = registry.resolve(name)
    request = Request(backbone=name, data=source, **own)
    request.refuse_for(resolved.spec.modality)
    wish = resolved.weights if own["weights"] == "auto" else own["weights"]
    if wish != "none" and choose(resolved.spec, wish) is None:
        raise UsageError(
            f"{name} has no published weights, and its features would be random",
            hint="Take them so with --weights none, or give weights with --weights PATH.",
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = start_from(request, resolved, _as_training(rows, source), reporter)
    # In bfloat16 a vector would depend on the other inputs of its batch.
    forward = Forward(start.backbone, device=device, precision="fp32")
    feed = Feed(spec=start.backbone.spec, tokenizer=start.tokenizer, workers=workers)
    return _Network(forward, feed, None)


def _as_training(rows: Rows, source: str) -> Splits:
    """The first split as what a tokenizer is trained on, where the backbone brings none."""
    first = next(iter(rows.splits.values()))
    return Splits(
        modality=first.modality,
        classes=rows.classes,
        train=first,
        val=None,
        test=None,
        fingerprint=first.fingerprint,
        source=source,
    )


def _features(
    network: _Network, samples: Samples, split: str, source: str, reporter: Reporter
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
        facts[CUT] = fill_features(array, samples, network.feed, forward, reporter)

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
