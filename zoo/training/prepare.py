"""A fine-tune up to its first step: open, start, plan, summarize, dataloaders."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from accelerate import Accelerator

from zoo.engine.compiler import Compiler, compiling
from zoo.engine.forward import Forward
from zoo.engine.training_setup import Dataloaders
from zoo.runs.request import Request
from zoo.training.dataloaders import make_dataloaders
from zoo.training.opened import open_request
from zoo.training.plan import Plan, make_plan
from zoo.training.run_options import RunOptions
from zoo.training.start import build_start
from zoo.training.summary import summarize


@dataclass(frozen=True)
class Prepared:
    """A fine-tune before its first step; nothing has been written to its folder."""

    plan: Plan
    forward: Forward
    loaders: Dataloaders


def prepare(
    request: Request, options: RunOptions, accelerator: Accelerator, compiler: Compiler | None
) -> Prepared:
    """Do everything up to the first step, and print the header.

    Raises:
        ZooError: An input, option or file is at fault.
    """
    part = options.parts.part
    # The other processes find in the cache what the first has read.
    with part("data"), accelerator.main_process_first():
        opened = open_request(
            request,
            options.registry,
            options.data,
            options.network,
            device=accelerator.device,
            reporter=options.reporter,
            merged=options.merged,
        )
    with part("network"):
        start = build_start(request, opened, options)
    with part("plan"):
        plan = make_plan(request, opened, start, options, accelerator)
        options.reporter.header(summarize(plan))
    forward = Forward(
        plan.backbone, device=plan.device, precision=plan.precision, compiler=compiler
    )
    with part("dataloaders"):
        loaders = make_dataloaders(plan, forward, options.reporter, accelerator)
    return Prepared(plan, forward, loaders)


def compiler_for(
    request: Request, options: RunOptions, accelerator: Accelerator
) -> AbstractContextManager[Compiler | None]:
    """The compiler of one run while the block runs; ``None`` if nothing is compiled."""
    return compiling(
        request.compile,
        accelerator.device,
        options.reporter,
        alone=accelerator.num_processes == 1,
        replayed=request.compiled,
    )
