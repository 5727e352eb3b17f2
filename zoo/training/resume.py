"""Resuming a stopped run, with the result of an uninterrupted one."""

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
from zoo.training.finetune import carry_out, write_report
from zoo.training.record import instructions
from zoo.training.run_options import RunOptions, accelerator_for, for_process
from zoo.training.same_run import same_run
from zoo.training.start_values import network_to_train


def resume(folder: Path, options: RunOptions, data: str | None = None, network: Any = None) -> Run:
    """Resume a stopped run, with the result of an uninterrupted one.

    Args:
        folder: The run folder.
        options: Options that do not change the result.
        data: The path of its data, or the name of that in memory, if it is given again.
        network: The user's own network of the run, or a function that builds it.

    Raises:
        RunError: It is finished, or its data or versions have changed.
        ZooError: As :func:`zoo.training.finetune.run`.
    """
    record = read_record(folder, finished=None)
    if record["finished"] and leftovers(folder):
        return _without_leftovers(folder, options, network)
    record = read_record(folder, finished=False)
    refuse_links(folder)
    options.registry.require(record["plugins"], f"the run {folder}", training=True)
    options = replace(options, network=network_to_train(folder, record, network))
    request = Request.from_json(record["request"]).but(
        data=data,
        precision=record["precision"],
        compile=record["compile"],
        measured=record["measured_batch"] and record["measured_batch"]["size"],
        augment_on=record["placement"] and record["placement"]["augment_on"],
        streamed=record["placement"] and record["placement"]["streamed"],
    )
    if request.device == "auto":
        request = request.but(device=record["device"])
    track = options.track or record["track"]
    options = replace(options, track=None if track == "none" else track)
    accelerator = accelerator_for(request, options)
    reporter = for_process(options, accelerator).reporter
    main = accelerator.is_main_process
    with locked(folder, main), _threads_of(record, reporter):
        record = read_record(folder, finished=False)  # another process may have finished it
        if main:
            remove_leftovers(folder)
        _refuse_other_surgery(folder, record, options)
        return carry_out(request, options, accelerator, same_run(folder, record))


def _without_leftovers(folder: Path, options: RunOptions, network: Any) -> Run:
    """Remove the files of training from a run that was killed just after it had finished."""
    refuse_links(folder)
    with locked(folder):
        names = ", ".join(path.name for path in leftovers(folder))
        remove_leftovers(folder)
        options.reporter.note(f"{folder} was already finished; removed the leftover files {names}")
        run = Run(folder, surgery=options.surgery, network=network, registry=options.registry)
        if options.report and not (folder / REPORT).exists():
            write_report(run, options, None, "auto")
        return run


@contextmanager
def _threads_of(record: Mapping[str, Any], reporter: Reporter) -> Iterator[None]:
    """Use as many threads as the run started with: the last digits of sums depend on it."""
    machine, before = record["machine"], torch.get_num_threads()
    threads = machine["threads"]
    if threads != before:
        reporter.note(
            f"resuming with {threads} threads, as at the start of the run, instead of {before}"
        )
    if (started := machine["instructions"]) != instructions():
        reporter.note(
            f"the run was started on a processor with {started}, this one has {instructions()}: "
            "the weights may differ in the last digits"
        )
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _refuse_other_surgery(folder: Path, record: Mapping[str, Any], options: RunOptions) -> None:
    """Raise a :class:`RunError` if the code of the surgery has changed since the run started."""
    same_name = record["surgery"] == name_of(options.surgery)
    if same_name and record["surgery_sha256"] != sha256_of_code(options.surgery):
        raise RunError(
            f"the code of the surgery {record['surgery']} has changed since {folder} was started",
            hint="Restore it, or start a new run.",
        )
