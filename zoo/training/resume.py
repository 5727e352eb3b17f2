"""Going on with a run that was stopped, as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zoo.engine.progress import Reporter
from zoo.engine.surgery import name_of, sha256_of_code
from zoo.errors import RunError
from zoo.runs.folder import (
    leftovers,
    locked,
    read_record,
    refuse_links,
    remove_leftovers,
)
from zoo.runs.report.page import REPORT
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.claims import Claim, Claimed
from zoo.training.finetune import carry_out, write_report
from zoo.training.manner import Manner, accelerator_for, for_process
from zoo.training.record import instructions


def resume(folder: Path, manner: Manner) -> Run:
    """Go on with a run that was stopped, as if it had not been.

    Raises:
        RunError: It is finished, or its data have changed.
        ZooError: As :func:`run`.
    """
    record = read_record(folder, finished=None)
    if record["finished"] and leftovers(folder):
        return _settled(folder, manner)
    record = read_record(folder, finished=False)
    refuse_links(folder)
    request = Request.from_json(record["request"]).but(
        precision=record["precision"], compile=record["compile"]
    )
    if request.device == "auto":
        request = request.but(device=record["device"])
    track = manner.track or record["track"]
    manner = replace(manner, track=None if track == "none" else track)
    accelerator = accelerator_for(request, manner)
    own = for_process(manner, accelerator)
    main = accelerator.is_main_process
    with locked(folder, main), _machine_of(record, own.reporter):
        record = read_record(folder, finished=False)  # it may have ended before the lock was free
        if main:
            remove_leftovers(folder)
        _refuse_other_surgery(folder, record, manner)
        return carry_out(request, manner, accelerator, _same_run(folder, record))


def _same_run(folder: Path, began: Mapping[str, Any]) -> Claim:
    """A claim to a folder that is locked already, where the run is still what it was."""

    @contextmanager
    def claim(record: Mapping[str, Any]) -> Iterator[Claimed]:
        _refuse_change(folder, began, record)
        plain = {key: value for key, value in began.items() if key not in ("format", "finished")}
        yield Claimed(folder, plain)

    return claim


def _settled(folder: Path, manner: Manner) -> Run:
    """A run that was killed after it was finished, without what its training has left there."""
    refuse_links(folder)
    with locked(folder):
        names = ", ".join(path.name for path in leftovers(folder))
        remove_leftovers(folder)
        manner.reporter.note(f"{folder} had been finished; removed what was left there: {names}")
        run = Run(folder, surgery=manner.surgery, registry=manner.registry)
        if manner.report and not (folder / REPORT).exists():
            write_report(run, manner, None, "auto")
        return run


@contextmanager
def _machine_of(record: Mapping[str, Any], reporter: Reporter) -> Iterator[None]:
    """As many threads as the run began with, on which the last digits of sums depend."""
    machine, own = record["machine"], torch.get_num_threads()
    threads = machine["threads"]
    if threads != own:
        reporter.note(f"going on with {threads} threads, as the run began; here it would be {own}")
    if (began := machine["instructions"]) != instructions():
        reporter.note(
            f"the run began on a processor with {began}, and this one has {instructions()}: "
            "the weights may differ in their last digits"
        )
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(own)


def _refuse_other_surgery(folder: Path, record: Mapping[str, Any], manner: Manner) -> None:
    """Raise a :class:`RunError` where the code of the same surgery is not what the run began with."""
    same_name = record["surgery"] == name_of(manner.surgery)
    if same_name and record["surgery_sha256"] != sha256_of_code(manner.surgery):
        raise RunError(
            f"the code of the surgery {record['surgery']} has changed since {folder} was started",
            hint="Put it back as it was, or start a new run.",
        )


def _refuse_change(folder: Path, began: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise a :class:`RunError` where ``record``, of a run begun now, is not that which began."""
    if began["data"]["fingerprint"] != record["data"]["fingerprint"]:
        raise RunError(
            f"the data of {folder} have changed since it was started: {record['data']['source']}",
            hint="Put them back as they were, or start a new run.",
        )
    if (began["weights"] or {}).get("sha256", "") != (record["weights"] or {}).get("sha256", ""):
        raise RunError(
            f"the weights that {folder} started from have changed: {began['request']['weights']}",
            hint="Put them back as they were, or start a new run.",
        )
    now = record["versions"] | record["plugins"]
    then = began["versions"] | began["plugins"]
    changed = [
        f"{name} {then.get(name)}, now {now.get(name)}"
        for name in now | began["plugins"]
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise RunError(
            f"{folder} was started with other versions: {', '.join(changed)}",
            hint="Install those to go on exactly, or start a new run.",
        )
