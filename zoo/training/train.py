"""Training in a run folder that is there, and what is saved of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from zoo.engine.checkpoint import Keeper
from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.loop import Fitted, fit
from zoo.engine.progress import Watchful
from zoo.engine.setting import Setting
from zoo.engine.surgery import name_of
from zoo.engine.trackers import start_tracker
from zoo.errors import ContractError, Stopped, WorkersError
from zoo.runs.folder import LAST, Outcome, finish_run
from zoo.runs.requested_data import named_as_given
from zoo.runs.run import Run
from zoo.system.paths import cache_folder
from zoo.tasks.losses import Loss
from zoo.training import record as records
from zoo.training.claims import Claimed
from zoo.training.manner import Manner
from zoo.training.plan import Plan
from zoo.training.prepare import Prepared


def train(
    own: Claimed,
    prepared: Prepared,
    manner: Manner,
    accelerator: Accelerator,
    interrupts: Interrupts,
) -> Run:
    """Train in a run folder that is there, and save what comes of it."""
    accelerator.wait_for_everyone()
    main, plan = accelerator.is_main_process, prepared.plan
    if manner.track:
        start_tracker(accelerator, manner.track, own.folder, plan.recipe)
    keeper = Keeper(own.folder / LAST, every=manner.save_every, writes=main)
    setting = setting_of(prepared, manner, accelerator, keeper, interrupts)
    fitted = _fitted(setting, plan, own.folder, manner)
    finished = finish_run(own.folder, _outcome(plan, own.record, fitted)) if main else None
    accelerator.wait_for_everyone()
    accelerator.end_training()
    backbone = plan.backbone.cpu().eval()
    backbone.unfreeze()
    return Run(
        own.folder,
        surgery=manner.surgery,
        registry=manner.registry,
        backbone=backbone,
        finished=finished,
    )


def _fitted(setting: Setting, plan: Plan, folder: Path, manner: Manner) -> Fitted:
    """What training comes to; where it ends early, the error says how to go on."""
    try:
        return fit(setting, plan.phases)
    except Interrupted as error:
        raise _stopped(folder, setting.interrupts, manner) from error
    except WorkersError as error:
        error.hint += f" Go on: {_going_on(folder, manner)}" if setting.keeper.saved else ""
        raise
    except ContractError as error:
        manner.registry.judge(plan.backbone.spec.plugin, error.message)
        raise


def setting_of(
    prepared: Prepared,
    manner: Manner,
    accelerator: Accelerator,
    keeper: Keeper,
    interrupts: Interrupts,
) -> Setting:
    """What a fit works with."""
    plan = prepared.plan
    alone = accelerator.num_processes == 1
    return Setting(
        forward=prepared.forward,
        feeds=prepared.loaders,
        recipe=plan.recipe,
        task=plan.task,
        loss=_loss(plan).to(accelerator.device),
        outputs=len(plan.splits.classes),
        accelerator=accelerator,
        cache=cache_folder() / "features",
        keeper=keeper,
        interrupts=interrupts,
        reporter=Watchful(manner.reporter, interrupts, stops=alone),
    )


def _loss(plan: Plan) -> Loss:
    recipe, labels = plan.recipe, plan.splits.train.labels
    assert labels is not None
    return plan.task.loss(
        labels,
        class_weights=recipe.class_weights,
        focal=recipe.focal,
        label_smoothing=recipe.label_smoothing,
    )


def _outcome(plan: Plan, record: Mapping[str, Any], fitted: Fitted) -> Outcome:
    assert plan.splits.val is not None
    return Outcome(
        record={**record, "results": records.results(fitted)},
        backbone=plan.backbone.cpu(),
        task=plan.task,
        history=fitted.history,
        tokenizer=plan.start.start.tokenizer,
        train=named_as_given(plan.request, plan.splits.train),
        val=named_as_given(plan.request, plan.splits.val),
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
