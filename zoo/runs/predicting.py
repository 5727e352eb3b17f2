"""Predictions of a run for new inputs, which need no labels."""

from __future__ import annotations

from typing import Any

from zoo.data.inputs import open_inputs, without_unreadable
from zoo.data.kind import BadInput
from zoo.data.reports import BadFiles, Findings
from zoo.data.samples import Samples
from zoo.data.sources.columns import ColumnNames
from zoo.data.sources.dialects import Quoting
from zoo.engine.progress import Reporter
from zoo.runs.limits import PredictionLimits
from zoo.runs.opened import OpenedRun
from zoo.runs.predictions import PredictionList, predictions_of
from zoo.tasks.predictions import NoPrediction


def open_new(
    run: OpenedRun,
    inputs: Any,
    *,
    text_column: ColumnNames,
    bad_files: BadFiles,
    quoting: Quoting | None,
    reporter: Reporter,
) -> tuple[Samples, dict[int, BadInput]]:
    """The inputs that can be read, as in training, and the others by their index among all inputs.

    There are no others unless ``bad_files`` is ``skip``.
    """
    unreadable: dict[int, BadInput] = {}
    findings, trained = Findings("error"), run.training_data
    samples = open_inputs(
        inputs,
        run.modality,
        text_column or trained.columns.inputs,
        pairs=run.pairs,
        bad=unreadable if bad_files == "skip" else None,
        learned=trained.learned,
        findings=findings,
        quoting=quoting or trained.columns.quoting,
    )
    for fact in findings.notes:
        reporter.note(fact)
    if bad_files == "skip":
        samples = without_unreadable(samples, unreadable, run.reading)
    return samples, unreadable


def predict(
    run: OpenedRun,
    samples: Samples,
    *,
    limits: PredictionLimits,
    tta: bool,
    device: str,
    workers: int | None,
    reporter: Reporter,
) -> PredictionList:
    """The predictions of ``run`` for samples of :func:`open_new`, in their order."""
    bank = None if limits.distance is None else run.bank
    rows, found = run.logits(
        samples, device=device, workers=workers, reporter=reporter, tta=tta, bank=bank
    )
    outputs = run.task.decode(rows[:, : len(run.classes)] / run.temperature)
    predictions = predictions_of(
        run.task, samples, outputs, run.classes, threshold=limits.threshold, unread=found.names
    )
    predictions = limits.applied(predictions, run.task, rows, run.classes)
    return PredictionList(predictions, run.classes)


def put_back(predictions: PredictionList, unreadable: dict[int, BadInput]) -> None:
    """Insert the inputs that could not be read, each at its place, with the reason."""
    for place in sorted(unreadable):
        predictions.insert(place, NoPrediction(*unreadable[place]))
