"""One fine-tune from request to run folder: open the data, build, train, write; or go on, or again."""

from __future__ import annotations

import datetime
import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from zoo import account
from zoo.backbone import Backbone
from zoo.curve import write_curve
from zoo.data import Samples, Splits
from zoo.engine.checkpoint import SAVE_SECONDS, Keeper
from zoo.engine.compiling import Work, resolve_compile
from zoo.engine.device import choose_device
from zoo.engine.find_lr import Curve, find_lr
from zoo.engine.forward import Forward
from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.loop import Feeds, Fitted, Setting, fit
from zoo.engine.losses import Loss, make_loss
from zoo.engine.precision import resolve_precision
from zoo.engine.progress import Quiet, Reporter, Watchful
from zoo.engine.recipe import Recipe
from zoo.engine.settings import refuse_unused
from zoo.engine.sharding import refuse_unsharded
from zoo.engine.strategies import Phase, find_strategy
from zoo.engine.tasks import Task, task_of
from zoo.engine.trackers import refuse_tracker, start_tracker
from zoo.errors import ContractError, RunError, Stopped, ZooError
from zoo.feeds import make_feeds
from zoo.heads import make_head
from zoo.heap import give_back
from zoo.places import cache_folder
from zoo.registry import Registry
from zoo.report.page import REPORT
from zoo.request import Request
from zoo.run import Run
from zoo.run_folder import (
    LAST,
    Outcome,
    create_run,
    discard_run,
    finish_run,
    free_folder,
    locked,
    read_record,
    refuse_existing,
    refuse_links,
)
from zoo.start import Start, start_from
from zoo.surgery import Surgery, operate

_LONGEST = 60  # characters of a backbone's name in that of its run folder; of any, up to 4 bytes


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a fine-tune is carried out; none of it changes what comes of it.

    Attributes:
        surgery: Changes the backbone before it trains; the request has its name.
        save_every: Seconds between two saves of the state.
        track: A tracker of Accelerate's, or ``None``.
        registry: Names and plugins.
        reporter: Sees what happens.
    """

    registry: Registry
    reporter: Reporter
    surgery: Surgery | None = None
    save_every: float = SAVE_SECONDS
    track: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that is settled before training starts."""

    request: Request
    start: Start
    splits: Splits
    task: Task
    loss: Loss
    feeds: Feeds
    recipe: Recipe
    phases: Sequence[Phase]
    forward: Forward
    plugin: str


class Judged(NamedTuple):
    """The trained network, and what a report asks it about, and where."""

    backbone: Backbone
    samples: Samples | None
    device: str


def run(request: Request, output: Path | None, manner: Manner) -> Run:
    """Carry out ``request``.

    Raises:
        ZooError: Anything that the user can put right. Before training starts nothing has been
            written then; after that the run can be resumed if its state has been saved.
        Stopped: By a signal; the run can be resumed.
    """
    accelerator = _accelerator(request, manner)
    folder = _agreed(output or free_folder(_short(request.backbone)))
    if accelerator.is_main_process:
        refuse_existing(folder)
    manner = _for_process(manner, accelerator)
    with torch.random.fork_rng():
        prepared = prepare(request, manner, accelerator)
        opened = account.opening(
            request,
            prepared.start,
            prepared.splits,
            prepared.task,
            prepared.recipe,
            prepared.phases,
            prepared.forward,
        )
        record = {"created": _now(), **opened}
        interrupts = Interrupts(tells=accelerator.is_main_process)
        with interrupts.noted():  # from before the folder is there, so that it can be resumed
            above = create_run(folder, record) if accelerator.is_main_process else ()
            try:
                judged = _train(folder, prepared, record, manner, accelerator, interrupts)
            except Stopped:
                raise
            except ZooError:
                if accelerator.is_main_process and not Keeper(folder / LAST).saved:
                    discard_run(folder, above)  # nothing of it was saved, and nothing is left
                raise
            del prepared
            return _finished(folder, judged, manner, accelerator)


def find_rate(request: Request, output: Path | None, manner: Manner) -> tuple[Path, Curve]:
    """Measure which learning rate suits the last phase of ``request``, and keep the curve.

    Returns:
        The folder with ``rates.json`` and ``rates.png``, and the curve.

    Raises:
        ZooError: As :func:`run`.
    """
    folder = output or free_folder(f"{_short(request.backbone)}-rates")
    refuse_existing(folder)
    accelerator = _accelerator(request, manner)
    interrupts = Interrupts(tells=accelerator.is_main_process)
    with torch.random.fork_rng():
        prepared = prepare(request, manner, accelerator)
        setting = _setting(prepared, manner, accelerator, Keeper(folder / LAST), interrupts)
        curve = find_lr(setting, prepared.phases[-1])
    write_curve(folder, curve)
    return folder, curve


def resume(folder: Path, manner: Manner) -> Run:
    """Go on with a run that was stopped, as if it had not been.

    Raises:
        RunError: It is finished, or its data have changed.
        ZooError: As :func:`run`.
    """
    record = read_record(folder, finished=False)
    refuse_links(folder)
    request = Request.from_json(record["request"]).but(
        precision=record["precision"], compile=record.get("compile", "off")
    )
    accelerator = _accelerator(request, manner)
    manner = _for_process(manner, accelerator)
    with torch.random.fork_rng():
        prepared = prepare(request, manner, accelerator)
        _refuse_change(folder, record, prepared)
        interrupts = Interrupts(tells=accelerator.is_main_process)
        with interrupts.noted():
            judged = _train(folder, prepared, _plain(record), manner, accelerator, interrupts)
            del prepared
            return _finished(folder, judged, manner, accelerator)


def prepare(request: Request, manner: Manner, accelerator: Accelerator) -> Prepared:
    """Everything up to the first step; says what is about to happen.

    Raises:
        ZooError: Anything that the user can put right.
    """
    registry = manner.registry
    resolved = registry.resolve(request.backbone)
    request.refuse_for(resolved.spec.modality)
    if request.strategy:
        find_strategy(request.strategy, registry)  # a misspelt one is told before the data open
    device = accelerator.device
    precision = resolve_precision(request.precision, device)
    splits = request.open(resolved.spec.modality)
    asked = request.recipe(Recipe.default(resolved.spec.modality, pretrained=False))
    task = task_of(splits, asked.metric, rare=asked.rare)
    torch.manual_seed(request.seed)
    start = start_from(request, resolved, splits, manner.reporter)
    default = _default_recipe(request, start, splits)
    recipe = replace(request.recipe(default), metric=task.metric)
    head = make_head(
        request.head,
        start.backbone.spec.feature_dim,
        len(splits.classes),
        registry=registry,
        dropout=recipe.dropout,
        bias=start.backbone.head_bias,
    )
    start.backbone.replace_head(head)
    recipe = replace(
        recipe, freeze=(*recipe.freeze, *operate(start.backbone, request.surgery, manner.surgery))
    )
    strategy = find_strategy(recipe.strategy, registry)
    phases = strategy(recipe)
    refuse_unused(request.wishes, recipe, phases, strategy)
    refuse_unsharded(accelerator, recipe, phases)
    if recipe.freeze_until:
        start.backbone.stage_parameters(recipe.freeze_until)  # there must be such a stage
    forward = Forward(start.backbone, device=device, precision=precision)
    work = Work.of(phases, recipe, len(splits.train))
    forward.compiles = resolve_compile(request.compile, forward, work, manner.reporter)
    manner.reporter.header(
        account.header(start, splits, task, recipe, phases, forward)
        | account.solver_change(default, recipe, request, phases)
    )
    return Prepared(
        request=request,
        start=start,
        splits=splits,
        task=task,
        loss=_loss(task, splits, recipe),
        feeds=make_feeds(request, start, splits, recipe, phases, manner.reporter, accelerator),
        recipe=recipe,
        phases=phases,
        forward=forward,
        plugin=resolved.spec.plugin,
    )


# -- training ----------------------------------------------------------------------------------


def _train(
    folder: Path,
    prepared: Prepared,
    record: Mapping[str, Any],
    manner: Manner,
    accelerator: Accelerator,
    interrupts: Interrupts,
) -> Judged:
    """Train in a run folder that is there, and save what comes of it."""
    accelerator.wait_for_everyone()
    main = accelerator.is_main_process
    if manner.track:
        start_tracker(accelerator, manner.track, folder, prepared.recipe)
    keeper = Keeper(folder / LAST, every=manner.save_every, writes=main)
    setting = _setting(prepared, manner, accelerator, keeper, interrupts)
    with locked(folder, main):
        try:
            fitted = fit(setting, prepared.phases)
        except Interrupted as error:
            raise _stopped(folder, interrupts) from error
        except ContractError as error:
            manner.registry.judge(prepared.plugin, error.message)
            raise
        if main:
            finish_run(folder, _outcome(prepared, record, fitted))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    backbone = prepared.start.backbone.cpu().eval()
    backbone.unfreeze()
    return Judged(backbone, prepared.splits.val, str(prepared.forward.device))


def _finished(folder: Path, judged: Judged, manner: Manner, accelerator: Accelerator) -> Run:
    """The run, with ``report.html`` beside what is saved; nothing is lost where that fails.

    Of what training needed, no more than the network is there any more, and it goes on as the run's.
    """
    gc.collect()
    give_back()
    run = Run(folder, surgery=manner.surgery, registry=manner.registry, backbone=judged.backbone)
    if accelerator.is_main_process:
        try:
            run.report(samples=judged.samples, device=judged.device)
        except Exception as error:  # whatever it is, the run is there
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            manner.reporter.note(f"no {REPORT}: {reason}; try 'zoo report {folder}'")
    return run


def _setting(
    prepared: Prepared,
    manner: Manner,
    accelerator: Accelerator,
    keeper: Keeper,
    interrupts: Interrupts,
) -> Setting:
    recipe = prepared.recipe
    alone = accelerator.num_processes == 1
    return Setting(
        forward=prepared.forward,
        feeds=prepared.feeds,
        recipe=recipe,
        task=prepared.task,
        loss=prepared.loss.to(accelerator.device),
        outputs=len(prepared.splits.classes),
        accelerator=accelerator,
        cache=cache_folder() / "features",
        keeper=keeper,
        interrupts=interrupts,
        reporter=Watchful(manner.reporter, interrupts) if alone else manner.reporter,
    )


def _loss(task: Task, splits: Splits, recipe: Recipe) -> Loss:
    """The loss that the recipe asks for, if the task has such a one."""
    assert splits.train.labels is not None
    return make_loss(
        task.name,
        train_labels=splits.train.labels,
        class_weights=recipe.class_weights,
        focal=recipe.focal,
        label_smoothing=recipe.label_smoothing,
    )


def _outcome(prepared: Prepared, record: Mapping[str, Any], fitted: Fitted) -> Outcome:
    assert prepared.splits.val is not None
    return Outcome(
        record={**record, "results": account.results(fitted)},
        backbone=prepared.start.backbone.cpu(),
        history=fitted.history,
        tokenizer=prepared.start.tokenizer,
        train=prepared.splits.train,
        val=prepared.splits.val,
        logits=fitted.logits,
    )


# -- what it takes -----------------------------------------------------------------------------


def _default_recipe(request: Request, start: Start, splits: Splits) -> Recipe:
    pretrained = start.weights is not None
    modality = start.backbone.spec.modality
    default = Recipe.default(
        modality,
        pretrained=pretrained,
        strategy=request.strategy,
        products=len(splits.train)
        * (request.wishes.get("cached_views") or 1)
        * start.backbone.spec.feature_dim
        * len(splits.classes),
    )
    return default if pretrained or not splits.epochs else replace(default, epochs=splits.epochs)


def _accelerator(request: Request, manner: Manner) -> Accelerator:
    """One process, or those that 'accelerate launch' or torchrun has started."""
    device = choose_device(request.device)
    refuse_tracker(manner.track)
    accelerator = Accelerator(cpu=device.type == "cpu", log_with=manner.track, project_dir=".")
    if accelerator.num_processes == 1 and device.type != "cpu":
        accelerator.state.device = device  # Accelerate knows one device a process, the first
    return accelerator


def _for_process(manner: Manner, accelerator: Accelerator) -> Manner:
    """Of several processes the first alone speaks."""
    return manner if accelerator.is_main_process else replace(manner, reporter=Quiet())


def _agreed(folder: Path) -> Path:
    """The folder that the first process has chosen."""
    agreed = [str(folder)]
    broadcast_object_list(agreed)
    return Path(agreed[0])


def _refuse_change(folder: Path, record: Mapping[str, Any], prepared: Prepared) -> None:
    if record["data"]["fingerprint"] != prepared.splits.fingerprint:
        raise RunError(
            f"the data of {folder} have changed since it was started: {prepared.splits.source}",
            hint="Put them back as they were, or start a new run.",
        )
    began, found = (record["weights"] or {}).get("sha256", ""), prepared.start.sha256
    if began != found:
        raise RunError(
            f"the weights that {folder} started from have changed: {record['request']['weights']}",
            hint="Put them back as they were, or start a new run.",
        )
    now, then = account.versions(), record["versions"]
    changed = [
        f"{name} {then.get(name)}, now {now[name]}" for name in now if then.get(name) != now[name]
    ]
    if changed:
        raise RunError(
            f"{folder} was started with other versions: {', '.join(changed)}",
            hint="Install those to go on exactly, or start a new run.",
        )


def _stopped(folder: Path, interrupts: Interrupts) -> Stopped:
    assert interrupts.received is not None
    return Stopped(
        f"stopped; the state is in {folder / LAST}",
        hint=f"Go on: zoo finetune --resume {folder}",
        signal=interrupts.received,
    )


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("format", "finished")}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _short(name: str) -> str:
    """A folder's name for a backbone's: its last part, with nothing that a path would mean."""
    last = name.rstrip("/").rpartition("/")[2][:_LONGEST] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"
