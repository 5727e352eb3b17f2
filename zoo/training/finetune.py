"""One fine-tune from request to run folder: open the data, build, train, write; or go on, or again."""

from __future__ import annotations

import datetime
import gc
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from zoo.contract.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.data import Samples, Splits
from zoo.data.text import cut_in_words
from zoo.engine.batch_norm import refuse_single
from zoo.engine.checkpoint import SAVE_SECONDS, Keeper
from zoo.engine.compiling import Work, resolve_compile, settle_precision
from zoo.engine.device import choose_device
from zoo.engine.find_lr import Curve, find_lr
from zoo.engine.forward import Forward
from zoo.engine.heads import make_head
from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.loop import Fitted, fit
from zoo.engine.losses import Loss, make_loss
from zoo.engine.precision import resolve_precision
from zoo.engine.progress import Quiet, Reporter, Watchful
from zoo.engine.recipe import Recipe
from zoo.engine.setting import Feeds, Setting
from zoo.engine.settings import refuse_unused
from zoo.engine.sharding import refuse_unsharded
from zoo.engine.strategies import Phase, find_strategy
from zoo.engine.surgery import Surgery, name_of, operate, sha256_of_code
from zoo.engine.tasks import Task, task_of
from zoo.engine.trackers import refuse_tracker, start_tracker
from zoo.engine.trainable import refuse_idle
from zoo.errors import ContractError, RunError, Stopped, WorkersError, ZooError
from zoo.registry.registry import Registry
from zoo.runs.folder import (
    LAST,
    Outcome,
    begin_run,
    claim_folder,
    claimed,
    discard_run,
    finish_run,
    leftovers,
    locked,
    read_record,
    refuse_existing,
    refuse_links,
    remove_leftovers,
)
from zoo.runs.report.page import REPORT
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.system.memory import give_back
from zoo.system.paths import cache_folder
from zoo.training import summary
from zoo.training.curve import write_curve
from zoo.training.dataloaders import make_feeds
from zoo.training.start import Start, start_from
from zoo.training.summary import instructions

_LONGEST = 60  # characters of a backbone's name in that of its run folder; of any, up to 4 bytes


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a fine-tune is carried out; none of it changes what comes of it.

    Attributes:
        surgery: Changes the backbone before it trains; the request has its name.
        save_every: Seconds between two saves of the state.
        track: A tracker of Accelerate's, or ``None``.
        report: Whether the finished run gets its ``report.html``.
        registry: Names and plugins.
        reporter: Sees what happens.
    """

    registry: Registry
    reporter: Reporter
    surgery: Surgery | None = None
    save_every: float = SAVE_SECONDS
    track: str | None = None
    report: bool = True


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
    main = accelerator.is_main_process
    if main and output:
        refuse_existing(output)
    manner = _for_process(manner, accelerator)
    with torch.random.fork_rng():
        prepared = prepare(request, manner, accelerator)
        record = {
            "created": _now(),
            **_opening(prepared, manner.registry),
            "surgery_sha256": sha256_of_code(manner.surgery),
            "track": manner.track,
        }
        interrupts = Interrupts(tells=main)
        with interrupts.noted():  # from before the folder is there, so that it can be resumed
            name = _short(request.backbone)
            folder, above = claim_folder(output, name) if main else (Path(), ())
            folder = _agreed(folder)
            with locked(folder, main):
                try:
                    if main:
                        begin_run(folder, record)
                    judged = _train(folder, prepared, record, manner, accelerator, interrupts)
                except Stopped:
                    raise
                except Exception:
                    if main and not Keeper(folder / LAST).saved:
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
    if output:
        refuse_existing(output)
    accelerator = _accelerator(request, manner)
    interrupts = Interrupts(tells=accelerator.is_main_process)
    with torch.random.fork_rng():
        prepared = prepare(request, manner, accelerator)
        with claimed(output, f"{_short(request.backbone)}-rates") as folder:
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
    record = read_record(folder, finished=None)
    if record.get("finished", True) and leftovers(folder):
        return _settled(folder, manner)
    record = read_record(folder, finished=False)
    refuse_links(folder)
    request = Request.from_json(record["request"]).but(
        precision=record["precision"], compile=record.get("compile", "off")
    )
    if request.device == "auto":
        request = request.but(device=record["device"])
    track = manner.track or record.get("track")
    manner = replace(manner, track=None if track == "none" else track)
    accelerator = _accelerator(request, manner)
    manner = _for_process(manner, accelerator)
    main = accelerator.is_main_process
    with locked(folder, main), torch.random.fork_rng(), _machine_of(record, manner.reporter):
        record = read_record(folder, finished=False)  # it may have ended before the lock was free
        if main:
            remove_leftovers(folder)
        _refuse_other_surgery(folder, record, manner)
        prepared = prepare(request, manner, accelerator)
        _refuse_change(folder, record, prepared, manner.registry)
        interrupts = Interrupts(tells=main)
        with interrupts.noted():
            judged = _train(folder, prepared, _plain(record), manner, accelerator, interrupts)
            del prepared
            return _finished(folder, judged, manner, accelerator)


def _settled(folder: Path, manner: Manner) -> Run:
    """A run that was killed after it was finished, without what its training has left there."""
    refuse_links(folder)
    with locked(folder):
        names = ", ".join(path.name for path in leftovers(folder))
        remove_leftovers(folder)
        manner.reporter.note(f"{folder} had been finished; removed what was left there: {names}")
        run = Run(folder, surgery=manner.surgery, registry=manner.registry)
        if manner.report and not (folder / REPORT).exists():
            _report(run, manner, None, "auto")
        return run


@contextmanager
def _machine_of(record: Mapping[str, Any], reporter: Reporter) -> Iterator[None]:
    """As many threads as the run began with, on which the last digits of sums depend."""
    machine, own = record.get("machine", {}), torch.get_num_threads()
    threads = machine.get("threads", own)
    if threads != own:
        reporter.note(f"going on with {threads} threads, as the run began; here it would be {own}")
    if (began := machine.get("instructions", instructions())) != instructions():
        reporter.note(
            f"the run began on a processor with {began}, and this one has {instructions()}: "
            "the weights may differ in their last digits"
        )
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(own)


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
    refuse_idle(start.backbone, strategy, recipe, request.wishes)
    forward = Forward(start.backbone, device=device, precision=precision)
    trains = any(phase.trains_backbone for phase in phases)
    settle_precision(request.precision, forward, manner.reporter, trains=trains)
    work = Work.of(phases, recipe, len(splits.train))
    forward.compiles = resolve_compile(request.compile, forward, work, manner.reporter)
    manner.reporter.header(
        summary.header(request, start, splits, task, recipe, phases, forward)
        | summary.solver_change(default, recipe, request, phases)
    )
    feeds = make_feeds(request, start, splits, recipe, phases, manner.reporter, accelerator)
    try:
        refuse_single(forward, phases, recipe, lambda: feeds.val.batch([(0, 0)]))
    except ZooError:
        feeds.close()
        raise
    if cut := _cut(feeds, start.backbone.spec):
        manner.reporter.note(cut)
        splits = replace(splits, notes=(*splits.notes, cut))
    return Prepared(
        request=request,
        start=start,
        splits=splits,
        task=task,
        loss=_loss(task, splits, recipe),
        feeds=feeds,
        recipe=recipe,
        phases=phases,
        forward=forward,
        plugin=resolved.spec.plugin,
    )


def _cut(feeds: Feeds, spec: BackboneSpec) -> str:
    """How many texts of training and validation are not read to their end, in words."""
    both = [loader.feed for loader in (feeds.train, feeds.val)]
    cut, count = int(sum(feed.cut.sum() for feed in both)), sum(len(feed.samples) for feed in both)
    return cut_in_words(cut, count, spec.text_input) if cut else ""


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
    try:
        fitted = fit(setting, prepared.phases)
    except Interrupted as error:
        raise _stopped(folder, interrupts, manner) from error
    except WorkersError as error:
        error.hint += f" Go on: {_going_on(folder, manner)}" if keeper.saved else ""
        raise
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
    if manner.report and accelerator.is_main_process:
        _report(run, manner, judged.samples, judged.device)
    return run


def _report(run: Run, manner: Manner, samples: Samples | None, device: str) -> None:
    try:
        run.report(samples=samples, device=device)
    except Exception as error:  # whatever it is, the run is there
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        manner.reporter.note(f"no {REPORT}: {reason}; try 'zoo report {run.folder}'")


def _opening(prepared: Prepared, registry: Registry) -> dict[str, Any]:
    return summary.opening(
        prepared.request,
        prepared.start,
        prepared.splits,
        prepared.task,
        prepared.recipe,
        prepared.phases,
        prepared.forward,
        _plugins(prepared, registry),
    )


def _plugins(prepared: Prepared, registry: Registry) -> dict[str, str]:
    return registry.versions(
        prepared.start.backbone.spec,
        zoo_heads=prepared.request.head,
        zoo_strategies=prepared.recipe.strategy,
    )


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
        reporter=Watchful(manner.reporter, interrupts, stops=alone),
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
        record={**record, "results": summary.results(fitted)},
        backbone=prepared.start.backbone.cpu(),
        history=fitted.history,
        tokenizer=prepared.start.tokenizer,
        train=prepared.request.names(prepared.splits.train),
        val=prepared.request.names(prepared.splits.val),
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


def _refuse_other_surgery(folder: Path, record: Mapping[str, Any], manner: Manner) -> None:
    """Raise a :class:`RunError` where the code of the same surgery is not what the run began with."""
    same_name = record["surgery"] == name_of(manner.surgery)
    if same_name and record.get("surgery_sha256") != sha256_of_code(manner.surgery):
        raise RunError(
            f"the code of the surgery {record['surgery']} has changed since {folder} was started",
            hint="Put it back as it was, or start a new run.",
        )


def _refuse_change(
    folder: Path, record: Mapping[str, Any], prepared: Prepared, registry: Registry
) -> None:
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
    now = summary.versions() | _plugins(prepared, registry)
    then = record["versions"] | record.get("plugins", {})
    changed = [
        f"{name} {then.get(name)}, now {now.get(name)}"
        for name in now | record.get("plugins", {})
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise RunError(
            f"{folder} was started with other versions: {', '.join(changed)}",
            hint="Install those to go on exactly, or start a new run.",
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


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("format", "finished")}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _short(name: str) -> str:
    """A folder's name for a backbone's: its last part, with nothing that a path would mean."""
    last = name.rstrip("/").rpartition("/")[2][:_LONGEST] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"
