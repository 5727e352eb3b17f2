"""One fine-tune from request to run folder, and a learning-rate range test."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from zoo.data.samples import Samples
from zoo.engine.checkpoint import CheckpointStore
from zoo.engine.find_lr import Curve, find_lr
from zoo.engine.interrupts import Interrupts
from zoo.engine.user_network.code import trust
from zoo.errors import UsageError, first_line
from zoo.runs.folder import LAST, claimed, refuse_existing
from zoo.runs.report.page import REPORT
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.system.memory import give_back
from zoo.system.tensors.compiler_import import compiler_unimported
from zoo.training import record as records
from zoo.training.claims import Claim, new_run, short_name
from zoo.training.curve import write_curve
from zoo.training.folds import cross_validate
from zoo.training.prepare import compiler_for, prepare
from zoo.training.run_options import RunOptions, accelerator_for, for_process
from zoo.training.start_values import keep_values
from zoo.training.train import train, training_setup


def run(
    request: Request,
    output: Path | None,
    options: RunOptions,
    require: Callable[[Mapping[str, Any]], None] | None = None,
) -> Run:
    """Fine-tune as ``request`` says, in a new folder.

    Args:
        request: What to train, on what data.
        output: The folder; ``None`` for the next free one in ``runs/``.
        options: Options that do not change the result.
        require: Called with the contents of ``run.json`` before there is a folder; may raise.

    Raises:
        ZooError: An input, option or file is at fault. Before training starts nothing is left
            behind; after that the run can be resumed if its state has been saved.
        Stopped: By a signal; the run can be resumed.
    """
    accelerator = accelerator_for(request, options)
    main = accelerator.is_main_process
    if request.folds and accelerator.num_processes > 1:
        raise UsageError(
            f"--folds works in one process, and there are {accelerator.num_processes}",
            hint="Start it without a launcher.",
        )
    if main and output:
        refuse_existing(output)
    if main and options.network:
        for source in options.network.sources():
            trust(source)
    claim = new_run(output, request.backbone, main=main, require=require)
    return carry_out(request, options, accelerator, claim)


@compiler_unimported()
def carry_out(request: Request, options: RunOptions, accelerator: Accelerator, claim: Claim) -> Run:
    """Every step of a fine-tune, whether new, resumed or repeated.

    Args:
        request: What to train, on what data.
        options: Options that do not change the result.
        accelerator: The processes.
        claim: Gives the folder, once the plan is known.

    Raises:
        ZooError: As :func:`run`.
        Stopped: As :func:`run`.
    """
    options.parts.so_far("start-up")
    options, main = for_process(options, accelerator), accelerator.is_main_process
    interrupts = Interrupts(announces=main)
    with torch.random.fork_rng(), compiler_for(request, options, accelerator) as compiler:
        prepared = prepare(request, options, accelerator, compiler)
        record = records.initial_record(prepared.plan, options, prepared.loaders)
        # Signals are recorded before the folder exists, so that every stopped run can be resumed.
        with interrupts.recorded(), claim(record) as run_folder:
            with run_folder.started(main=main):
                if main:
                    keep_values(run_folder.folder, prepared.plan.start.start, options.network)
                folds = (
                    cross_validate(
                        prepared.plan, options, accelerator, interrupts, run_folder.folder
                    )
                    if request.over_folds
                    else None
                )
                trained = train(run_folder, prepared, options, accelerator, interrupts, folds)
            samples, device = prepared.plan.splits.val, str(prepared.plan.device)
            with options.parts.part("freeing memory"):
                del prepared  # everything but the network
                gc.collect()
                give_back()
            if options.report and main:
                write_report(trained, options, samples, device)
            if options.profile:
                options.reporter.header(options.parts.in_words())
            return trained


def write_report(run: Run, options: RunOptions, samples: Samples | None, device: str) -> None:
    """Write ``report.html`` into the run folder; a failure is only noted."""
    try:
        with options.parts.part("report"):
            run.report(samples=samples, device=device)
    except Exception as error:  # whatever it is, the run itself is complete
        options.reporter.note(
            f"failed to write {REPORT}: {first_line(error)}; try 'zoo report {run.folder}'"
        )


@compiler_unimported()
def find_rate(request: Request, output: Path | None, options: RunOptions) -> tuple[Path, Curve]:
    """Run a learning-rate range test for the last phase of ``request``, and save the curve.

    Returns:
        The folder with ``rates.json`` and ``rates.png``, and the curve.

    Raises:
        ZooError: As :func:`run`.
    """
    if request.folds:
        raise UsageError("--folds has no effect with --find-lr", hint="Leave --folds out.")
    if request.private:
        raise UsageError(
            "--private does not work with --find-lr: its steps would have no noise",
            hint="Leave --private out, or try a few values of --lr.",
        )
    if request.time_limit is not None:
        raise UsageError(
            "--time-limit has no effect with --find-lr, which takes 100 steps",
            hint="Leave --time-limit out.",
        )
    if output:
        refuse_existing(output)
    accelerator = accelerator_for(request, options)
    interrupts = Interrupts(announces=accelerator.is_main_process)
    with torch.random.fork_rng(), compiler_for(request, options, accelerator) as compiler:
        prepared = prepare(request, options, accelerator, compiler)
        with claimed(output, f"{short_name(request.backbone)}-rates") as folder:
            checkpoints = CheckpointStore(folder / LAST)
            setup = training_setup(prepared, options, accelerator, checkpoints, interrupts)
            curve = find_lr(setup, prepared.plan.phases[-1])
            write_curve(folder, curve)
    return folder, curve
