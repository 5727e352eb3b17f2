"""The training loop over phases, which also resumes; epoch.py has the epochs of a phase."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from accelerate.utils import broadcast_object_list
from torch import Tensor

from zoo.engine import adapters
from zoo.engine.checkpoint import Best, Progress
from zoo.engine.epoch import RunningPhase, four_digits, train_epoch, validate_epoch
from zoo.engine.interrupts import Interrupted
from zoo.engine.l2sp import L2SP
from zoo.engine.learner import Learner
from zoo.engine.prefixed import prefixed
from zoo.engine.private_head import PoissonFeatures, PrivateHead
from zoo.engine.readings import Readings
from zoo.engine.solver import AllFeatures, Solver
from zoo.engine.sources import Batches, Features, Source
from zoo.engine.strategies import Phase
from zoo.engine.time_limit import EpochTooLong, PhasePlan, TimeLimit
from zoo.engine.timetable import Timetable
from zoo.engine.trainable import choose_trained
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import RunError, UsageError, WorkersError
from zoo.system.durations import in_words
from zoo.system.tensors.seeds import mixed_seed, seed_devices
from zoo.weights.loading import adapter_layers


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The result of training; the backbone holds the best epoch's parameters.

    Attributes:
        history: One record per epoch, as in ``metrics.jsonl``.
        best_epoch: Counted over all phases, from 1.
        metrics: The best epoch's metrics on the validation split.
        logits: The best epoch's outputs on it: ``(M, outputs)``.
        outputs: The same after every epoch, from 1; lacks epochs where they took too much memory.
        seconds: Time for training and validation, without interruptions.
        cuts: What the time limit decided; see :class:`zoo.engine.checkpoint.Progress`.
        samples_per_second: Training samples per second of training time in the last phase.
        compiled: Which steps ran compiled, and why.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    metrics: dict[str, float]
    logits: Tensor
    outputs: Mapping[int, Tensor]
    seconds: float
    cuts: list[list[int]]
    samples_per_second: float
    compiled: list[dict[str, Any]]


def fit(setup: TrainingSetup, phases: Sequence[Phase]) -> FitResult:
    """Train through ``phases``, or resume from the saved state of an earlier fit.

    The backbone then holds the parameters of the epoch with the best selection metric on the
    validation split. The dataloaders' workers have ended, also after an error.

    Raises:
        RunError: The loss is not finite, or the state cannot be saved.
        Interrupted: After a signal; the state has been saved.
        WorkersError: A dataloader worker has died; the state has been saved.
    """
    with closing(setup.dataloaders):
        return _Fit(setup, phases).run()


class _Fit:
    def __init__(self, setup: TrainingSetup, phases: Sequence[Phase]) -> None:
        self.setup, self.phases = setup, phases
        self.backbone, self.recipe = setup.forward.backbone, setup.recipe
        # Before an earlier state is loaded: it holds a copy of the pretrained weights.
        self.backbone.unfreeze()
        self.l2sp = L2SP(self.backbone, self.recipe.l2sp) if self.recipe.l2sp else None
        self.kept = setup.checkpoints.load()
        self.progress = self.kept.progress if self.kept else Progress()
        self.best = self.kept.best if self.kept else Best()
        if setup.forward.compiler:
            setup.forward.compiler.journal = self.progress.compiled
        if not self.kept:
            self.progress.cuts = [list(each) for each in setup.cuts]
        if setup.limit:
            setup.limit.resume(self.progress.spent)
        self.running: RunningPhase | None = None

    def run(self) -> FitResult:
        progress, limit = self.progress, self.setup.limit
        if limit and not self.kept:
            limit.require_left()
        if self.kept:
            self.setup.reporter.note(f"resuming {_position(progress, self.phases)}")
        try:
            for phase in self.phases[progress.phase :]:
                if self._epochs(phase):
                    self._phase_in_time(phase)
                progress.phase, progress.epoch = progress.phase + 1, 0
        except Interrupted:
            self._save()
            self.setup.accelerator.wait_for_everyone()  # a launcher ends them all with the first
            raise
        except WorkersError:  # raised between two steps, while waiting for a batch
            if self.setup.accelerator.num_processes == 1:  # else the others have not stopped
                self._save()
            raise
        if not progress.best_epoch:
            raise RunError(
                "every epoch produced NaN metrics; nothing was saved",
                hint="Try a smaller --lr or --precision fp32.",
            )
        if not adapter_layers.has_adapters(self.best.state):
            adapters.merge(self.backbone)  # the best epoch was before them, or they are merged
        self.backbone.load_state_dict(self.best.state)
        return FitResult(
            history=progress.history,
            best_epoch=progress.best_epoch,
            metrics=progress.metrics,
            logits=self.best.logits,
            outputs=self.best.outputs,
            seconds=round(progress.total_seconds, 2),
            cuts=progress.cuts,
            samples_per_second=_speed(progress.history),
            compiled=progress.compiled,
        )

    def _phase_in_time(self, phase: Phase) -> None:
        """Train a phase, unless the time limit is too short for an epoch of it.

        Raises:
            UsageError: It is, and no earlier phase has trained anything.
        """
        number, limit = self.progress.phase, self.setup.limit
        try:
            self._phase(phase)
        except EpochTooLong as error:
            assert limit is not None
            takes = f"one epoch of {phase.name} takes about {in_words(error.epoch)}"
            if not self.best.state:
                raise _too_short(limit, takes, error) from error
            self.setup.reporter.note(
                f"time limit: {takes}, which is more than is left; keeping what has been trained"
            )
            self.running = None
            self.progress.cuts = [each for each in self.progress.cuts if each[0] != number]
            self.progress.cuts.append([number, 0, 0])

    def _phase(self, phase: Phase) -> None:
        began = time.perf_counter()
        self.running = running = self._prepare(phase)
        self.progress.total_seconds += time.perf_counter() - began
        while not self._ended(running) and not self._stalled(phase):
            self._train_epoch(running)
            clock = self.setup.limit.clock if self.setup.limit else time.perf_counter
            validating = clock()
            with self.setup.parts.part("validation"):
                validate_epoch(running, self.best, final=self._final(phase))
            if running.plan and not running.over:
                running.plan.validated(clock() - validating)
                running.fit_into_time()
        if phase.solved and self.best.state:
            # The next phase starts from the best of the solutions.
            self.backbone.load_state_dict(self.best.state)
        self.running = None

    def _ended(self, running: RunningPhase) -> bool:
        limit, phase = self.setup.limit, running.phase
        if self.progress.step:  # of an epoch that is not validated yet, maybe the last
            return False
        if running.over or self.progress.epoch >= self._epochs(phase):
            return True
        if phase.solved and limit and self.best.state and limit.left <= 0:
            running.cut(running.done)  # the strengths so far
            return True
        return False

    def _train_epoch(self, running: RunningPhase) -> None:
        parts, before = self.setup.parts, self.progress.waited
        with parts.part("training"):
            train_epoch(running, self._save)
        parts.move(self.progress.waited - before, "training", "waiting for data")

    def _prepare(self, phase: Phase) -> RunningPhase:
        """The phase's batches and learner, with the saved state if it was stopped in this phase."""
        setup, progress = self.setup, self.progress
        seed_devices(mixed_seed(self.recipe.seed, progress.phase))  # for adapters
        choose_trained(self.backbone, phase, self.recipe)
        if kept := self.kept:
            self.backbone.load_state_dict(kept.of("backbone/"))
        source: Source
        learner: Learner | Solver | PrivateHead
        cuts = [(at, total) for number, at, total in progress.cuts if number == progress.phase]
        if phase.private:
            source = private = PoissonFeatures(Features(setup), setup)
            timetable = Timetable(source.steps, phase.epochs, cuts)
            learner = PrivateHead(setup, phase, private)
        elif phase.solved:
            source = AllFeatures(features := Features(setup))
            timetable = Timetable(source.steps, phase.epochs, cuts)
            learner = Solver(setup, phase, features)
        else:
            source = self._source(phase)
            timetable = Timetable(source.steps, phase.epochs, cuts)
            done = progress.epoch * source.steps + progress.step
            # As after the last step: what the next one unfreezes has no optimizer state yet.
            last = max(0, done - 1)
            learner = Learner(
                setup, phase, progress.phase, source, self.l2sp, timetable=timetable, done=last
            )
        if kept and (state := kept.of("learner/")):  # empty: stopped before the first step
            learner.load_tensors(state, accumulate=progress.accumulate)
        self.kept = None
        readings = Readings(setup, phase, progress)
        plan = self._plan(phase, timetable)
        running = RunningPhase(setup, phase, source, learner, progress, readings, timetable, plan)
        if plan and running.done:  # resumed, maybe with no time left
            running.fit_into_time()
        return running

    def _plan(self, phase: Phase, timetable: Timetable) -> PhasePlan | None:
        """What fits the phase into the time left, which it shares with later phases."""
        setup, progress = self.setup, self.progress
        if setup.limit is None or phase.solved or setup.chosen:
            return None
        return PhasePlan(
            setup.limit,
            timetable,
            share=1 / (len(self.phases) - progress.phase),
            val_steps=-(-len(setup.dataloaders.val_labels) // self.recipe.batch_size),
            validated=progress.epoch > 0,
            agree=self._agreed,
        )

    def _agreed(self, steps: int) -> int:
        """The number of the first of several processes."""
        if self.setup.accelerator.num_processes == 1:
            return steps
        agreed = [steps]
        broadcast_object_list(agreed)
        return agreed[0]

    def _source(self, phase: Phase) -> Source:
        if not phase.trains_backbone:
            return Features(self.setup)
        return prefixed(self.setup, phase) or Batches(self.setup)

    def _epochs(self, phase: Phase) -> int:
        chosen, number = self.setup.chosen, self.progress.phase
        if [number, 0, 0] in self.progress.cuts:
            return 0
        return chosen.epochs(number, phase) if chosen else phase.epochs

    def _stalled(self, phase: Phase) -> bool:
        """Whether early stopping ends the phase: no better epoch for ``patience`` epochs.

        Regularisation strengths are all tried: a worse one says nothing about the next.
        """
        judges = not phase.solved and self.setup.chosen is None
        patience, progress = self.recipe.patience if judges else None, self.progress
        without = min(progress.epoch, len(progress.history) - progress.best_epoch)
        return patience is not None and without >= patience

    def _final(self, phase: Phase) -> set[str]:
        """Parameters that no longer change: the frozen ones, in a last phase that is not gradual."""
        if phase is not self.phases[-1] or phase.gradual:
            return set()
        return {name for name, p in self.backbone.named_parameters() if not p.requires_grad}

    def _save(self) -> None:
        if self.kept:
            return  # stopped again before the first step: the state on disk is still valid
        if running := self.running:
            running.readings.read()  # nothing that is not finite is saved
            running.learner.gather()
        if self.setup.limit:
            self.progress.spent = round(self.setup.limit.spent, 3)
        with self.setup.parts.part("checkpoints"):
            tensors = {f"backbone/{k}": v for k, v in self.backbone.state_dict().items()}
            if running:
                tensors |= {f"learner/{k}": v for k, v in running.learner.tensors().items()}
            self.setup.checkpoints.save(self.progress, self.best, tensors)


def _too_short(limit: TimeLimit, takes: str, error: EpochTooLong) -> UsageError:
    return UsageError(
        f"--time-limit {in_words(limit.seconds)} is too short: {takes}",
        hint=f"Use a limit of {in_words(1.2 * error.needed)} or more; or --strategy probe, smaller "
        "inputs or a smaller backbone.",
    )


def _position(progress: Progress, phases: Sequence[Phase]) -> str:
    if progress.phase == len(phases):
        return "after the last step"
    phase = phases[progress.phase]
    epoch = f"epoch {progress.epoch + 1} of {phase.epochs}"
    return f"at step {progress.step + 1} of {epoch} in phase {phase.name!r}"


def _speed(history: Sequence[Mapping[str, Any]]) -> float:
    """Training samples per second of training time in the last phase."""
    last = [record for record in history if record["phase"] == history[-1]["phase"]]
    times = [1 / float(record["samples_per_second"]) for record in last]
    return four_digits(len(times) / sum(times))
