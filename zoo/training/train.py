"""Training in a claimed run folder, and saving the result."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from torch import Tensor

from zoo.engine.adapters import layers, options_of
from zoo.engine.checkpoint import MOST_OUTPUTS, CheckpointStore
from zoo.engine.chosen_epochs import ChosenEpochs
from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.loop import FitResult, fit
from zoo.engine.progress import StoppingReporter
from zoo.engine.surgery import name_of
from zoo.engine.time_limit import TimeLimit
from zoo.engine.trackers import start_tracker
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import ContractError, Stopped, WorkersError
from zoo.registry.adapter_record import AdapterBase, SavedAdapter
from zoo.runs.feature_bank import MOST
from zoo.runs.folder import LAST, Outcome, finish_run
from zoo.runs.requested_data import named_as_given
from zoo.runs.run import Run
from zoo.system.durations import seconds_of
from zoo.system.parts import Parts
from zoo.system.paths import cache_folder
from zoo.tasks.losses import Loss, LossOptions
from zoo.tasks.optimism import interval
from zoo.training import record as records
from zoo.training.claims import Claimed
from zoo.training.distilled import DistillationLoss
from zoo.training.plan import Plan
from zoo.training.prepare import Prepared
from zoo.training.run_options import RunOptions
from zoo.training.typical import attacked, sampled_features, typical_features
from zoo.weights.loading.adapter_file import adapter_state


class Folded(Protocol):
    """The result of a cross-validation; see :class:`zoo.training.folds.CrossValidated`."""

    @property
    def chosen(self) -> ChosenEpochs:
        """The epochs to keep."""

    @property
    def record(self) -> Mapping[str, Any]:
        """``results.folds`` of ``run.json``."""

    @property
    def interval(self) -> Mapping[str, Any] | None:
        """``results.interval``: the confidence interval of the selection metric."""


def train(
    run_folder: Claimed,
    prepared: Prepared,
    options: RunOptions,
    accelerator: Accelerator,
    interrupts: Interrupts,
    folds: Folded | None = None,
) -> Run:
    """Train in a claimed run folder, and save the result.

    Args:
        run_folder: The folder.
        prepared: Everything up to the first step.
        options: Options that do not change the result.
        accelerator: The processes.
        interrupts: The signals received so far.
        folds: The result of the folds, for the final run of a cross-validation.
    """
    accelerator.wait_for_everyone()
    main, plan = accelerator.is_main_process, prepared.plan
    if options.track:
        start_tracker(accelerator, options.track, run_folder.folder, plan.recipe)
    checkpoints = CheckpointStore(run_folder.folder / LAST, every=options.save_every, writes=main)
    setup = training_setup(
        prepared,
        options,
        accelerator,
        checkpoints,
        interrupts,
        chosen=folds.chosen if folds else None,
    )
    fitted = _fitted(setup, plan, run_folder.folder, options)
    finished = None
    if main:
        with options.parts.part("saving"):
            sampled = sampled_features(setup, plan, options.reporter)
            found = attacked(sampled, setup, plan)
            outcome = _outcome(plan, run_folder.record, fitted, options.parts, folds)
            results = {**outcome.record["results"], "membership": found and found.to_json()}
            outcome = replace(
                outcome,
                record={**outcome.record, "results": results},
                typical=typical_features(sampled, plan),
            )
            finished = finish_run(run_folder.folder, outcome)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    backbone = plan.backbone.cpu().eval()
    backbone.unfreeze()
    return Run(
        run_folder.folder,
        surgery=options.surgery,
        network=options.network and replace(options.network, values=None),  # they are removed
        registry=options.registry,
        backbone=backbone,
        finished=finished,
    )


def _fitted(setup: TrainingSetup, plan: Plan, folder: Path, options: RunOptions) -> FitResult:
    """Train; where it ends early, the error says how to resume."""
    try:
        return fit(setup, plan.phases)
    except Interrupted as error:
        raise stopped(folder, setup.interrupts, options) from error
    except WorkersError as error:
        error.hint += (
            f" Resume with: {resume_command(folder, options)}" if setup.checkpoints.saved else ""
        )
        raise
    except ContractError as error:
        options.registry.set_verdict(plan.backbone.spec.plugin, error.message)
        raise


def training_setup(
    prepared: Prepared,
    options: RunOptions,
    accelerator: Accelerator,
    checkpoints: CheckpointStore,
    interrupts: Interrupts,
    chosen: ChosenEpochs | None = None,
) -> TrainingSetup:
    """Everything that :func:`zoo.engine.loop.fit` needs."""
    plan = prepared.plan
    alone = accelerator.num_processes == 1
    return TrainingSetup(
        forward=prepared.forward,
        dataloaders=prepared.loaders,
        recipe=plan.recipe,
        task=plan.task,
        optimizers=plan.optimizers,
        loss=_loss(plan).to(accelerator.device),
        outputs=len(plan.splits.classes),
        accelerator=accelerator,
        cache=cache_folder() / "features",
        checkpoints=checkpoints,
        interrupts=interrupts,
        reporter=StoppingReporter(options.reporter, interrupts, stops=alone),
        parts=options.parts,
        limit=_limit(plan, options),
        cuts=plan.request.cuts or (),
        chosen=chosen,
        most_outputs=math.inf if plan.request.fold else MOST_OUTPUTS,
        keeps_adapters=plan.base is not None,
        privacy=plan.privacy,
        prior=plan.start.kept.prior if plan.start.kept else None,
    )


def _limit(plan: Plan, options: RunOptions) -> TimeLimit | None:
    """The time limit, counted from the start of the command; a repetition has its decisions instead."""
    request, splits = plan.request, plan.splits
    if request.time_limit is None or request.cuts is not None:
        return None
    typical = sum(min(MOST, len(each)) for each in (splits.train, splits.val) if each is not None)
    return TimeLimit(
        seconds_of(request.time_limit),
        options.parts.began,
        report=options.report,
        closing=typical / plan.recipe.batch_size,
    )


def _loss(plan: Plan) -> Loss | DistillationLoss:
    recipe, labels = plan.recipe, plan.splits.train.labels
    assert labels is not None
    options = LossOptions(
        chosen=plan.opened.loss,
        class_weights=recipe.class_weights,
        focal=recipe.focal,
        label_smoothing=recipe.label_smoothing,
    )
    loss = plan.task.loss(labels, options)
    distilled = plan.opened.distilled
    return loss if distilled is None else DistillationLoss(loss, distilled.temperature)


def _outcome(
    plan: Plan,
    record: Mapping[str, Any],
    fitted: FitResult,
    parts: Parts,
    folds: Folded | None,
) -> Outcome:
    assert plan.splits.val is not None
    results = records.results(fitted, parts)
    return Outcome(
        record={
            **record,
            "results": {
                **results,
                "interval": folds.interval if folds else _interval(plan, fitted),
                "folds": folds and folds.record,
                **_agreement(plan, fitted),
            },
        },
        backbone=plan.backbone.cpu(),
        task=plan.task,
        history=fitted.history,
        tokenizer=plan.start.start.tokenizer,
        train=named_as_given(plan.request, plan.splits.train),
        val=named_as_given(plan.request, plan.splits.val),
        logits=fitted.logits,
        outputs=fitted.outputs if plan.request.fold else None,
        adapter=_adapter(plan),
    )


def _agreement(plan: Plan, fitted: FitResult) -> dict[str, float | None]:
    """The agreement with the teacher on the validation split, in a distillation."""
    distilled = plan.opened.distilled
    if distilled is None:
        return {}
    return {"agreement": distilled.agreement(plan.task.decode(fitted.logits))}


def _interval(plan: Plan, fitted: FitResult) -> dict[str, Any] | None:
    """The confidence interval of the selection metric; ``None`` if outputs of an epoch are lacking."""
    val = plan.splits.val
    assert val is not None
    assert val.labels is not None
    if len(fitted.outputs) < len(fitted.history):
        return None
    outputs = [plan.task.decode(fitted.outputs[epoch]) for epoch in sorted(fitted.outputs)]
    found = interval(plan.task, outputs, val.labels, plan.splits.classes, val.groups)
    return found.to_json() if found else None


def _adapter(plan: Plan) -> tuple[SavedAdapter, Mapping[str, Tensor]] | None:
    """The adapter and its record; ``None`` if the whole network is saved."""
    if plan.base is None:
        return None
    start, phase, backbone = plan.start.start, plan.phases[-1], plan.backbone
    assert start.weights is not None
    assert phase.kind is not None
    file = Path(start.weights.uri)
    saved = SavedAdapter(
        kind=phase.parameters,
        options=options_of(plan.recipe, phase.kind),
        layers=tuple(path for path, _ in layers(backbone)),
        base=AdapterBase(
            backbone=backbone.spec.name,
            weights=start.weights.tag,
            sha256=start.sha256,
            file=os.path.abspath(file) if file.exists() else "",
        ),
    )
    return saved, adapter_state(backbone, plan.base)


def stopped(folder: Path, interrupts: Interrupts, options: RunOptions) -> Stopped:
    """The error of a run that a signal has stopped: how to resume it."""
    assert interrupts.received is not None
    return Stopped(
        "Stopped.",
        hint=f"Resume with: {resume_command(folder, options)}",
        signal=interrupts.received,
    )


def resume_command(folder: Path, options: RunOptions) -> str:
    """The command that resumes a run, with the surgery, which is not imported from ``run.json``.

    Where an object has to be passed again, it is the call in Python.
    """
    code = options.network.source if options.network else None
    unnamed = code is not None and not code.importable
    objects = {"data": options.data is not None, "network": unnamed and bool(code and code.module)}
    if again := [name for name, needed in objects.items() if needed]:
        passed = ", ".join(f"{name}=…" for name in again)
        return f"zoo.resume({str(folder)!r}, {passed}), with the same {' and '.join(again)}"
    command = ["zoo", "finetune", "--resume", str(folder)]
    if code and unnamed:
        command += ["--network", code.typed]
    if options.surgery:
        command += ["--surgery", str(name_of(options.surgery))]
    return shlex.join(command)
