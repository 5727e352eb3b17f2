"""Ensembles: the mean of the probabilities of several runs, as a new run that holds copies of them."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RunError
from zoo.runs.calibrating import calibrated
from zoo.runs.calibration_file import CALIBRATION, write_calibration
from zoo.runs.combinable import CLASSES, TASK, VALIDATION, Fact, opened_runs, require_same
from zoo.runs.folder import CARD, EXAMPLE, LOCK_FILE, MEMBERS, PREDICTIONS, claimed
from zoo.runs.model_card import model_card
from zoo.runs.predictions import EvaluatedSamples, write_predictions
from zoo.runs.report.page import REPORT
from zoo.runs.run import Run
from zoo.runs.trained_on import DIGESTS, read_digests, write_contents
from zoo.system import files
from zoo.system.json_shape import finite
from zoo.tasks.optimism import interval

_FACTS: Sequence[Fact] = (
    (
        "kinds of input",
        lambda run: (run.modality.name, run.pairs),
        "Choose runs on the same kind of data.",
    ),
    TASK,
    CLASSES,
    VALIDATION,
)


def make_ensemble(runs: Sequence[Run | str | Path], output: str | Path | None = None) -> Run:
    """Combine runs into one, whose prediction is the mean of their probabilities or values.

    Its validation metrics are computed from their stored predictions.

    Args:
        runs: At least two, of the same task, classes (in any order) and validation samples. They may
            differ in backbone, input and head. They are copied into the new folder.
        output: A folder that does not exist; the next free ``runs/ensemble-<number>`` by default.

    Raises:
        UsageError: There are fewer than two runs.
        RunError: They do not fit together, or cannot be copied; nothing is left then.
    """
    opened = opened_runs(runs, "ensemble")
    require_same(opened, _FACTS)
    mean = mean_predictions(opened)
    with claimed(Path(output) if output else None, "ensemble") as folder:
        try:
            _write(folder, opened, mean)
        except OSError as error:
            raise RunError(
                f"the run cannot be written to {folder}: {error.strerror or error}",
                hint="Choose another path with --output DIR.",
            ) from error
    return Run(folder)


def mean_predictions(runs: Sequence[Run]) -> EvaluatedSamples:
    """The mean of the stored validation predictions, in the columns of the first run.

    Raises:
        RunError: A file is missing or damaged, or is not of the same samples.
    """
    first, *rest = (run.kept_predictions() for run in runs)
    outputs: list[NDArray[np.float64]] = [first.outputs]
    for run, own in zip(runs[1:], rest, strict=True):
        if len(own) != len(first):
            raise RunError(
                f"{run.folder / PREDICTIONS} has {len(own):,} samples, expected {len(first):,}",
                hint="Restore it from a copy of the run.",
            )
        outputs.append(own.outputs[:, runs[0].columns_of(run)])
    return replace(first, outputs=np.mean(outputs, axis=0))


def _write(folder: Path, runs: Sequence[Run], mean: EvaluatedSamples) -> None:
    first = runs[0]
    for number, run in enumerate(runs, start=1):
        _copy(run.folder, folder / MEMBERS / str(number))
    example = first.record["example"]
    own = isinstance(example, str) and example.startswith(f"{EXAMPLE}.")
    if own and (first.folder / example).is_file():
        shutil.copyfile(first.folder / example, folder / example)
    if first.tokenizer is not None:
        files.write_text(folder / "tokenizer.json", first.tokenizer.to_str(pretty=True))
    write_predictions(folder / PREDICTIONS, mean, first.classes, task=first.task)
    _write_digests(folder, runs)
    record = _record(folder, runs, mean)
    files.write_text(folder / CARD, model_card(record, folder.name))
    text = json.dumps(record, indent=2, ensure_ascii=False)
    files.write_text(folder / LOCK_FILE, text + "\n")


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a run, except its report."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and not file.is_symlink() and file.name != REPORT:
            shutil.copyfile(file, target / file.name)


def _write_digests(folder: Path, runs: Sequence[Run]) -> None:
    """The training samples of all members; no file if they are not known of one."""
    known = [found for run in runs if (found := read_digests(run.folder)) is not None]
    if len(known) == len(runs):
        write_contents(folder / DIGESTS, np.concatenate(known))


def _record(folder: Path, runs: Sequence[Run], mean: EvaluatedSamples) -> dict[str, Any]:
    """The contents of ``run.json``: those of the first run, with the ensemble's own results."""
    first, task = runs[0], runs[0].task
    logits = task.encode(mean.outputs)
    metrics = task.compute_metrics(logits, mean.labels, first.classes)
    grouped = bool(first.record["data"].get("groups"))  # the stored predictions do not say which
    found = None if grouped else calibrated(task, logits, mean.labels, first.classes, None)
    if found:
        write_calibration(folder / CALIBRATION, found)
    ends = interval(task, [mean.outputs], mean.labels, first.classes, None)
    digest = hashlib.sha256("".join(run.record["sha256"] for run in runs).encode())
    results = {
        **first.record["results"],
        "metrics": finite(metrics),
        "interval": None if grouped or not ends else ends.to_json(),
        "calibration": found.summary() if found else None,
        "seconds": round(sum(run.record["results"].get("seconds") or 0 for run in runs), 2),
        "parts": {},
        "memory": {},
        "compiled": [],
        "membership": None,
    }
    members = [
        {
            "folder": f"{MEMBERS}/{number}",
            "run": str(run.folder),
            "backbone": run.backbone_name,
            "sha256": run.record["sha256"],
            "metrics": run.record["results"]["metrics"],
        }
        for number, run in enumerate(runs, start=1)
    ]
    return {
        **first.record,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "adapter": None,
        "privacy": None,  # nothing is claimed of several runs together
        "params": sum(run.record["params"] for run in runs),
        "sha256": digest.hexdigest(),
        "results": results,
        "ensemble": {"members": members},
    }
