"""Going on with a run that was stopped, as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zoo.engine.compiled import compiling
from zoo.engine.interrupts import Interrupts
from zoo.engine.progress import Reporter
from zoo.engine.surgery import name_of, sha256_of_code
from zoo.errors import RunError
from zoo.registry.registry import Registry
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
from zoo.training import record as records
from zoo.training.manner import Manner, accelerator_for, for_process
from zoo.training.plan import Plan, make_plan
from zoo.training.record import instructions
from zoo.training.train import finished_run, plugins_of, train, write_report


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
    manner = for_process(manner, accelerator)
    main = accelerator.is_main_process
    with (
        locked(folder, main),
        torch.random.fork_rng(),
        _machine_of(record, manner.reporter),
        compiling(request.compile) as compiler,
    ):
        record = read_record(folder, finished=False)  # it may have ended before the lock was free
        if main:
            remove_leftovers(folder)
        _refuse_other_surgery(folder, record, manner)
        plan = make_plan(request, manner, accelerator, compiler)
        _refuse_change(folder, record, plan, manner.registry)
        interrupts = Interrupts(tells=main)
        with interrupts.noted():
            evaluated = train(folder, plan, _plain(record), manner, accelerator, interrupts)
            del plan
            return finished_run(folder, evaluated, manner, accelerator)


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


def _refuse_change(folder: Path, record: Mapping[str, Any], plan: Plan, registry: Registry) -> None:
    if record["data"]["fingerprint"] != plan.splits.fingerprint:
        raise RunError(
            f"the data of {folder} have changed since it was started: {plan.splits.source}",
            hint="Put them back as they were, or start a new run.",
        )
    began, found = (record["weights"] or {}).get("sha256", ""), plan.start.sha256
    if began != found:
        raise RunError(
            f"the weights that {folder} started from have changed: {record['request']['weights']}",
            hint="Put them back as they were, or start a new run.",
        )
    now = records.versions() | plugins_of(plan, registry)
    then = record["versions"] | record["plugins"]
    changed = [
        f"{name} {then.get(name)}, now {now.get(name)}"
        for name in now | record["plugins"]
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise RunError(
            f"{folder} was started with other versions: {', '.join(changed)}",
            hint="Install those to go on exactly, or start a new run.",
        )


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("format", "finished")}
