"""One epoch of a phase: training steps, validation, and its record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from accelerate.utils import broadcast
from torch import Tensor

from zoo.engine import adapters
from zoo.engine.checkpoint import Best, Progress
from zoo.engine.interrupts import Interrupted
from zoo.engine.learner import Learner
from zoo.engine.private_head import PrivateHead
from zoo.engine.readings import READ_STEPS, Readings
from zoo.engine.solver import Solver
from zoo.engine.sources import Source, Step
from zoo.engine.strategies import Phase, strength_of
from zoo.engine.time_limit import PhasePlan
from zoo.engine.timetable import Timetable
from zoo.engine.training_setup import TrainingSetup


@dataclass(frozen=True)
class RunningPhase:
    """A phase in training: its batches, learner, progress, readings, steps, and the plan for these
    where time is limited."""

    setup: TrainingSetup
    phase: Phase
    source: Source
    learner: Learner | Solver | PrivateHead
    progress: Progress
    readings: Readings
    timetable: Timetable
    plan: PhasePlan | None = None

    @property
    def done(self) -> int:
        """Completed steps of the phase."""
        return self.progress.epoch * self.timetable.steps + self.progress.step

    @property
    def over(self) -> bool:
        """Whether all its steps are done."""
        return self.done >= self.timetable.total

    def fit_into_time(self) -> None:
        """Plan the rest of the phase by what has been timed.

        Raises:
            EpochTooLong: Not even the first epoch fits.
        """
        if self.plan is None:
            return
        before, total = self.timetable.total, self.plan.total(self.done)
        if total == before:
            return
        self.cut(total)
        self.setup.reporter.note(self._change(before))

    def cut(self, total: int) -> None:
        """Have another number of steps from now on."""
        self.timetable.cut(self.done, total)
        self.progress.cuts.append([self.progress.phase, self.done, total])

    def _change(self, before: int) -> str:
        steps, planned = self.timetable.steps, self.timetable.planned // self.timetable.steps
        whole, part = divmod(self.timetable.total, steps)
        epochs = f"{whole + part / steps:.2g}" if part else str(whole)
        verb = "fit" if self.timetable.total != steps else "fits"
        now = "now " if before != self.timetable.planned else ""
        return f"time limit: {now}{epochs} of {planned} epochs of {self.phase.name} {verb}"


def train_epoch(running: RunningPhase, save: Callable[[], None]) -> None:
    """Run the remaining steps of the current epoch.

    Raises:
        Interrupted: After a signal, between two steps.
        RunError: The loss or the gradient is not finite.
    """
    setup, phase, source = running.setup, running.phase, running.source
    progress, learner, readings = running.progress, running.learner, running.readings
    if running.over:  # resumed after the last step, before the validation
        return
    readings.begin()
    learner.begin()
    title = f"{phase.name} {progress.epoch + 1}/{running.timetable.epochs}"
    memory = setup.forward.memory() if phase.trains_backbone else nullcontext()
    with setup.reporter.steps(title, source.steps - progress.step) as tick, memory:
        steps = source.epoch(len(progress.history), progress.step)
        for step, waited in _timed(steps, progress):
            number = running.done
            with readings.pace.step(waited):
                result = learner.step(number, step)
            readings.add(step, result)
            progress.accumulate = learner.accumulate
            if readings.due() or progress.step == source.steps or running.over:
                stop, due = readings.read()
                _show(running)
                if running.plan:
                    running.plan.add(readings.latest.steps, readings.latest.seconds)
                    if progress.step < source.steps:
                        running.fit_into_time()
                soon = learner.timed(readings.latest, number + 1)
                readings.read_after(soon or READ_STEPS)
                if due:
                    save()
                if stop:
                    raise Interrupted
            tick()
            if running.over:
                return


def validate_epoch(running: RunningPhase, best: Best, *, final: Set[str]) -> None:
    """Validate, write the record of the epoch, and keep its parameters if it is the best so far.

    Args:
        running: The phase.
        best: Receives the parameters.
        final: Names of parameters that no longer change.
    """
    setup, progress = running.setup, running.progress
    began = time.perf_counter()
    running.learner.gather()
    with _as_saved(running):
        metrics, logits, better = _judged(running)
        if not setup.chosen:
            best.add_outputs(len(progress.history) + 1, logits, limit=setup.most_outputs)
        if better:
            backbone = setup.forward.backbone
            kept = backbone.state_dict() if setup.keeps_adapters else adapters.plain_state(backbone)
            best.keep(kept, logits, final=final)
    spent = progress.seconds + time.perf_counter() - began
    record = _record(running, metrics, spent, better=better)
    progress.history.append(record)
    if better:
        progress.best_epoch, progress.score = record["epoch"], list(setup.task.score(metrics))
        progress.metrics = dict(setup.chosen.metrics) if setup.chosen else metrics
    progress.next_epoch()
    progress.total_seconds += spent
    losses = {name: record[name] for name in ("train_loss",) if name in record}
    setup.accelerator.log(metrics | losses, record["epoch"])
    epochs = running.timetable.epochs
    setup.reporter.epoch({**record, "title": setup.task.selection.title}, epochs)


def _judged(running: RunningPhase) -> tuple[dict[str, float], Tensor, bool]:
    """The metrics of the epoch, the outputs that they are of, and whether it is the best so far.

    Where folds have chosen the epoch, they are those of the folds.
    """
    setup, progress = running.setup, running.progress
    if setup.chosen:
        number, epoch = progress.phase, progress.epoch + 1
        kept = setup.chosen.keeps(number, epoch, running.phase)
        return dict(setup.chosen.by_epoch[number, epoch]), setup.chosen.logits, kept
    logits = running.source.validate()
    metrics = setup.task.compute_metrics(logits, setup.dataloaders.val_labels)
    score = list(setup.task.score(metrics))
    return metrics, logits, all(map(math.isfinite, score)) and score > progress.score


def four_digits(speed: float) -> float:
    """Round a speed to four significant digits: not 0, even if the process was paused for long."""
    return float(f"{speed:.4g}")


def _show(running: RunningPhase) -> None:
    progress = running.progress
    speed = progress.samples / max(progress.seconds, 1e-9)
    running.setup.reporter.reading(progress.loss / max(progress.samples, 1), speed)


# -- steps -----------------------------------------------------------------------------------


def _timed(steps: Iterator[Step], progress: Progress) -> Iterator[tuple[Step, float]]:
    """The steps, each with the seconds waited for it; adds padding to ``progress``."""
    while True:
        began = time.perf_counter()
        step = next(steps, None)
        waited = time.perf_counter() - began
        if step is None:
            return
        if isinstance(step.inputs, Mapping) and "attention_mask" in step.inputs:
            mask = step.inputs["attention_mask"]  # on the CPU still
            progress.tokens += mask.numel()
            progress.padding += mask.numel() - int(mask.sum())
        yield step, waited


# -- validation ------------------------------------------------------------------------------


def _as_saved(running: RunningPhase) -> ExitStack:
    """The backbone as it would be saved: EMA weights, adapters, the first process's buffers."""
    backbone, accelerator = running.setup.forward.backbone, running.setup.accelerator
    with ExitStack() as stack:
        if running.learner.average:
            stack.enter_context(running.learner.average.applied())
        if not running.setup.keeps_adapters:
            stack.enter_context(adapters.merged(backbone))
        if accelerator.num_processes > 1:  # the first process saves
            for buffer in backbone.buffers():
                buffer.copy_(broadcast(buffer))
        return stack.pop_all()


def _record(
    running: RunningPhase, metrics: Mapping[str, float], spent: float, *, better: bool
) -> dict[str, Any]:
    """The line of ``metrics.jsonl``."""
    phase, progress = running.phase, running.progress
    record: dict[str, Any] = {
        "epoch": len(progress.history) + 1,
        "phase": phase.name,
        "epoch_of_phase": progress.epoch + 1,
        # Of samples that are private, the loss without noise is as well.
        **({} if phase.private else {"train_loss": progress.loss / progress.samples}),
        **metrics,
        "metric": running.setup.task.metric,
        **({"strength": strength_of(progress.epoch)} if phase.solved else {"lr": phase.lr}),
        "seconds": round(spent, 3),
        "samples_per_second": four_digits(progress.samples / progress.seconds),
        "best": better,
    }
    if not phase.solved:
        record["waiting"] = round(progress.waited / progress.seconds, 3)
    if 0 < progress.step < running.source.steps:
        record["share"] = round(progress.step / running.source.steps, 3)
    if progress.skipped:
        record["skipped_steps"] = progress.skipped
    if progress.tokens:
        record["padding"] = round(progress.padding / progress.tokens, 3)
    return record
