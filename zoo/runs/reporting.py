"""The report of a run, from its folder and, if still available, its data."""

from __future__ import annotations

from pathlib import Path

from zoo.data.samples import Samples
from zoo.engine.device import choose_device
from zoo.errors import RunError, ZooError
from zoo.runs.opened import OpenedRun
from zoo.runs.predictions import EvaluatedSamples
from zoo.runs.report.page import REPORT, Report, write_report
from zoo.runs.report.subject import Subject
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.system.offline import no_network
from zoo.tasks import tasks_for


def report(
    run: OpenedRun,
    output: str | Path | None,
    evaluated: tuple[EvaluatedSamples, Samples | None, str],
    *,
    samples: Samples | None,
    device: str,
    workers: int | None,
) -> Report:
    """Write the report on ``evaluated`` samples; see :meth:`zoo.Run.report`."""
    predicted, opened, words = evaluated
    absent = ""
    if opened is None:
        opened, absent = (samples, "") if samples is not None else _validation_samples(run)
    subject = Subject(
        folder=run.folder,
        record=run.record,
        history=run.epochs(),
        task=run.task,
        evaluated=predicted,
        evaluated_on=words,
        samples=opened,
        absent=absent,
        network=lambda: (run.members[0] if run.members else run).backbone,
        loaders=run.loaders(workers),
        device=choose_device(device),
    )
    path = Path(output) if output is not None else run.folder / REPORT
    try:
        return write_report(path, subject)
    except OSError as error:
        raise RunError(
            f"the report cannot be written to {path}: {error.strerror or error}",
            hint="Choose another path with --output FILE.",
        ) from error


def _validation_samples(run: OpenedRun) -> tuple[Samples | None, str]:
    """The validation samples of training, or why they are not available."""
    if "request" not in run.record:
        return None, "the run does not record where its data is"
    try:
        with no_network():  # a run.json may name any dataset, and the user's token would be sent
            request = Request.from_json(run.record["request"])
            splits = open_requested(request, run.modality, tasks_for(request.task))
    except ZooError as error:
        return None, f"its data is not available: {error.message}"
    if splits.fingerprint != run.training_data.fingerprint:
        return None, f"the data has changed since training: {splits.source}"
    return splits.val, ""
