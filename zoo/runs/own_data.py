"""The data that a run was trained on, to evaluate it without naming data."""

from __future__ import annotations

from zoo.data.memory.source import is_in_memory
from zoo.data.samples import Splits
from zoo.errors import RunError
from zoo.runs.opened import OpenedRun
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import tasks_for

_HINT = "Add --data PATH."


def own_source(run: OpenedRun) -> str | None:
    """Where the data of ``run`` is; ``None`` for the demo data.

    Raises:
        RunError: The run does not record it, or was trained on data in memory.
    """
    data = _request(run).data
    if data is not None and is_in_memory(data):
        raise RunError(
            f"{run.folder} was trained on data in memory, which is not available now",
            hint="Add --data PATH; in Python, pass the data again: run.evaluate(data).",
        )
    return data


def own_demo(run: OpenedRun) -> Splits:
    """The demo data that ``run`` was trained on."""
    request = _request(run)
    return open_requested(request, run.modality, tasks_for(request.task))


def _request(run: OpenedRun) -> Request:
    if "request" not in run.record:
        raise RunError(f"{run.folder} does not record where its data is", hint=_HINT)
    return Request.from_json(run.record["request"])
