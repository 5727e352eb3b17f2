"""Training in a run folder that is there, and what is saved of it."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator

from zoo.contract.backbone import Backbone
from zoo.data.samples import Samples
from zoo.engine.checkpoint import Keeper
from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.loop import Fitted, fit
from zoo.engine.progress import Watchful
from zoo.engine.setting import Setting
from zoo.engine.surgery import name_of
from zoo.engine.trackers import start_tracker
from zoo.errors import ContractError, Stopped, WorkersError
from zoo.registry.registry import Registry
from zoo.runs.folder import (
    LAST,
    Outcome,
    finish_run,
)
from zoo.runs.report.page import REPORT
from zoo.runs.run import Run
from zoo.system.memory import give_back
from zoo.system.paths import cache_folder
from zoo.training import record as records
from zoo.training.manner import Manner
from zoo.training.plan import Plan


class EvaluatedSamples(NamedTuple):
    """The trained network, and what a report asks it about, and where."""

    backbone: Backbone
    samples: Samples | None
    device: str


def train(
    folder: Path,
    plan: Plan,
    record: Mapping[str, Any],
    manner: Manner,
    accelerator: Accelerator,
    interrupts: Interrupts,
) -> EvaluatedSamples:
    """Train in a run folder that is there, and save what comes of it."""
    accelerator.wait_for_everyone()
    main = accelerator.is_main_process
    if manner.track:
        start_tracker(accelerator, manner.track, folder, plan.recipe)
    keeper = Keeper(folder / LAST, every=manner.save_every, writes=main)
    setting = setting_of(plan, manner, accelerator, keeper, interrupts)
    try:
        fitted = fit(setting, plan.phases)
    except Interrupted as error:
        raise _stopped(folder, interrupts, manner) from error
    except WorkersError as error:
        error.hint += f" Go on: {_going_on(folder, manner)}" if keeper.saved else ""
        raise
    except ContractError as error:
        manner.registry.judge(plan.plugin, error.message)
        raise
    if main:
        finish_run(folder, _outcome(plan, record, fitted))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    backbone = plan.start.backbone.cpu().eval()
    backbone.unfreeze()
    return EvaluatedSamples(backbone, plan.splits.val, str(plan.forward.device))


def finished_run(
    folder: Path, evaluated: EvaluatedSamples, manner: Manner, accelerator: Accelerator
) -> Run:
    """The run, with ``report.html`` beside what is saved; nothing is lost where that fails.

    Of what training needed, no more than the network is there any more, and it goes on as the run's.
    """
    gc.collect()
    give_back()
    run = Run(folder, surgery=manner.surgery, registry=manner.registry, backbone=evaluated.backbone)
    if manner.report and accelerator.is_main_process:
        write_report(run, manner, evaluated.samples, evaluated.device)
    return run


def write_report(run: Run, manner: Manner, samples: Samples | None, device: str) -> None:
    try:
        run.report(samples=samples, device=device)
    except Exception as error:  # whatever it is, the run is there
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        manner.reporter.note(f"no {REPORT}: {reason}; try 'zoo report {run.folder}'")


def opening_of(plan: Plan, registry: Registry) -> dict[str, Any]:
    return records.opening(
        plan.request,
        plan.start,
        plan.splits,
        plan.task,
        plan.recipe,
        plan.phases,
        plan.forward,
        plugins_of(plan, registry),
    )


def plugins_of(plan: Plan, registry: Registry) -> dict[str, str]:
    return registry.versions(
        plan.start.backbone.spec,
        zoo_heads=plan.request.head,
        zoo_strategies=plan.recipe.strategy,
    )


def setting_of(
    plan: Plan,
    manner: Manner,
    accelerator: Accelerator,
    keeper: Keeper,
    interrupts: Interrupts,
) -> Setting:
    recipe = plan.recipe
    alone = accelerator.num_processes == 1
    return Setting(
        forward=plan.forward,
        feeds=plan.feeds,
        recipe=recipe,
        task=plan.task,
        loss=plan.loss.to(accelerator.device),
        outputs=len(plan.splits.classes),
        accelerator=accelerator,
        cache=cache_folder() / "features",
        keeper=keeper,
        interrupts=interrupts,
        reporter=Watchful(manner.reporter, interrupts, stops=alone),
    )


def _outcome(plan: Plan, record: Mapping[str, Any], fitted: Fitted) -> Outcome:
    assert plan.splits.val is not None
    return Outcome(
        record={**record, "results": records.results(fitted)},
        backbone=plan.start.backbone.cpu(),
        history=fitted.history,
        tokenizer=plan.start.tokenizer,
        train=plan.request.names(plan.splits.train),
        val=plan.request.names(plan.splits.val),
        logits=fitted.logits,
    )


def _stopped(folder: Path, interrupts: Interrupts, manner: Manner) -> Stopped:
    assert interrupts.received is not None
    return Stopped(
        f"stopped; the state is in {folder / LAST}",
        hint=f"Go on: {_going_on(folder, manner)}",
        signal=interrupts.received,
    )


def _going_on(folder: Path, manner: Manner) -> str:
    """The command that resumes a run, with what ``run.json`` cannot say of it."""
    command = ["zoo", "finetune", "--resume", str(folder)]
    if manner.surgery:
        command += ["--surgery", str(name_of(manner.surgery))]
    return shlex.join(command)
