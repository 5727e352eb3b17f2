"""The loop: phases, epochs, steps. Everything that trains anything is on this page."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import broadcast
from torch import Tensor

from zoo.engine import adapters
from zoo.engine.checkpoint import Best, Progress
from zoo.engine.interrupts import Interrupted
from zoo.engine.l2sp import Pull
from zoo.engine.learner import Learner
from zoo.engine.prefixed import prefixed
from zoo.engine.setting import Setting
from zoo.engine.solver import Once, Solver
from zoo.engine.sources import Batches, Features, Source, Step
from zoo.engine.strategies import Phase, strength_of
from zoo.engine.trainable import choose_trained
from zoo.errors import RunError, WorkersError
from zoo.system.tensors.seeds import mixed_seed

_NAMED = 32  # samples that an error names


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training came to; the backbone holds the best epoch's parameters.

    Attributes:
        history: A record an epoch, as in ``metrics.jsonl``.
        best_epoch: Counted over all phases, from 1.
        metrics: The best epoch's figures on the validation split.
        logits: The best epoch's outputs there: ``(M, outputs)``.
        seconds: Training and validation together, interruptions aside.
        samples_per_second: Training samples a second of training time in the last phase.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    metrics: dict[str, float]
    logits: Tensor
    seconds: float
    samples_per_second: float


def fit(setting: Setting, phases: Sequence[Phase]) -> Fitted:
    """Train through ``phases``, from where an earlier fit was stopped if there is its state.

    The backbone then holds the parameters of the best epoch: that with the best figures, as the
    task says, on the validation split. The workers of the feeds have ended, however the fit has.

    Raises:
        RunError: The loss is no number any more, or the state cannot be saved.
        Interrupted: After a signal; the state has been saved.
        WorkersError: A process that prepares batches has ended; the state has been saved.
    """
    with closing(setting.feeds):
        return _Fit(setting, phases).run()


class _Fit:
    def __init__(self, setting: Setting, phases: Sequence[Phase]) -> None:
        self.setting, self.phases = setting, phases
        self.backbone, self.recipe = setting.forward.backbone, setting.recipe
        # Made before an earlier state is loaded, because it remembers where training started.
        self.backbone.unfreeze()
        self.pull = Pull(self.backbone, self.recipe.l2sp) if self.recipe.l2sp else None
        self.kept = setting.keeper.load()
        self.progress = self.kept.progress if self.kept else Progress()
        self.best = self.kept.best if self.kept else Best()
        self.learner: Learner | Solver | None = None

    # -- phases ------------------------------------------------------------------------------

    def run(self) -> Fitted:
        progress = self.progress
        if self.kept:
            self.setting.reporter.note(f"going on {_whereabouts(progress, self.phases)}")
        try:
            for phase in self.phases[progress.phase :]:
                self._phase(phase)
                progress.phase, progress.epoch = progress.phase + 1, 0
        except Interrupted:
            self._save()
            raise
        except WorkersError:  # raised between two steps, where a batch was waited for
            if self.setting.accelerator.num_processes == 1:  # else the others are not here
                self._save()
            raise
        if not progress.best_epoch:
            raise RunError(
                "no epoch has figures that are numbers, and nothing is kept",
                hint="Try a smaller --lr, or --precision fp32.",
            )
        adapters.merge(self.backbone)
        self.backbone.load_state_dict(self.best.state)
        return Fitted(
            history=progress.history,
            best_epoch=progress.best_epoch,
            metrics=progress.metrics,
            logits=self.best.logits,
            seconds=round(progress.total_seconds, 2),
            samples_per_second=_speed(progress.history),
        )

    def _phase(self, phase: Phase) -> None:
        began = time.perf_counter()
        source = self._prepare(phase)
        self.progress.total_seconds += time.perf_counter() - began
        while self.progress.epoch < phase.epochs and not self._stalled(phase):
            self._train(phase, source)
            self._validate(phase, source)
        if phase.solved and self.best.state:
            # Of the solutions, the best is what the next phase starts from.
            self.backbone.load_state_dict(self.best.state)
        self.learner = None

    def _prepare(self, phase: Phase) -> Source:
        """The phase's batches, and its learner as it was if it was stopped in this phase."""
        setting, progress = self.setting, self.progress
        torch.manual_seed(mixed_seed(self.recipe.seed, progress.phase))  # of adapters
        choose_trained(self.backbone, phase, self.recipe)
        if kept := self.kept:
            self.backbone.load_state_dict(kept.of("backbone/"))
        source: Source
        if phase.trains_backbone:
            source = prefixed(setting, phase) or Batches(setting)
        elif phase.solved:
            source = Once(features := Features(setting))
            self.learner = Solver(setting, phase, features)
        else:
            source = Features(setting)
        if self.learner is None:
            done = progress.epoch * source.steps + progress.step
            # As the last step left it: what the next one unfreezes has no state yet.
            last = max(0, done - 1)
            self.learner = Learner(setting, phase, progress.phase, source, self.pull, done=last)
        if kept and (state := kept.of("learner/")):  # none: stopped before the phase's first step
            self.learner.take_over(state)
            self.learner.accumulate = progress.accumulate
        self.kept = None
        return source

    def _stalled(self, phase: Phase) -> bool:
        """Whether the phase has gone on for as long as patience lasts without a better epoch.

        Strengths of regularisation are all tried: a worse one says nothing about the next.
        """
        patience, progress = None if phase.solved else self.recipe.patience, self.progress
        without = min(progress.epoch, len(progress.history) - progress.best_epoch)
        return patience is not None and without >= patience

    # -- epochs ------------------------------------------------------------------------------

    def _train(self, phase: Phase, source: Source) -> None:
        """The steps of an epoch that are still to do."""
        progress, learner = self.progress, self._learning()
        began, before = time.perf_counter(), progress.seconds
        learner.begin()
        what = f"{phase.name} {progress.epoch + 1}/{phase.epochs}"
        with self.setting.reporter.steps(what, source.steps - progress.step) as tick:
            for step in self._awaited(source.epoch(len(progress.history), progress.step)):
                number = progress.epoch * source.steps + progress.step
                loss = learner.step(number, step)
                loss, stop, save = self._agreed(loss)
                self._refuse_no_number(phase, step, {"loss": loss, "gradient": learner.norm})
                progress.loss, progress.samples = (
                    progress.loss + loss,
                    progress.samples + step.samples,
                )
                progress.step += 1
                progress.accumulate = learner.accumulate
                progress.seconds = before + time.perf_counter() - began
                if save:
                    self._save()
                if stop:
                    raise Interrupted
                tick()

    def _refuse_no_number(self, phase: Phase, step: Step, values: Mapping[str, float]) -> None:
        progress = self.progress
        for what, value in values.items():
            if not math.isfinite(value):
                raise RunError(
                    f"the {what} became {value} in step {progress.step + 1} of epoch "
                    f"{progress.epoch + 1} of phase {phase.name!r}{self._with(step)}",
                    hint="Look at these samples and their labels; then try a smaller --lr, or "
                    "--precision fp32.",
                )

    def _with(self, step: Step) -> str:
        """The samples of the step, in words, or those whose features are no numbers."""
        indices, what = step.indices, "whose samples were"
        if isinstance(step.inputs, Tensor):
            odd = ~step.inputs.isfinite().all(dim=1)
            if odd.any():
                indices, what = indices[odd], "where no numbers are the features of"
        names = self.setting.feeds.train.names(indices[:_NAMED].tolist())
        more = ", …" if len(indices) > _NAMED else ""
        return f", {what} {', '.join(names)}{more}"

    def _awaited(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The steps, while it is counted how long each was waited for, and how much is padding."""
        progress = self.progress
        while True:
            began = time.perf_counter()
            step = next(steps, None)
            progress.waited += time.perf_counter() - began
            if step is None:
                return
            if isinstance(step.inputs, Mapping) and "attention_mask" in step.inputs:
                mask = step.inputs["attention_mask"]
                progress.tokens += mask.numel()
                progress.padding += mask.numel() - int(mask.sum())
            yield step

    def _validate(self, phase: Phase, source: Source) -> None:
        """Figures of the epoch, its record, and its parameters if it is the best so far."""
        progress, learner = self.progress, self._learning()
        began = time.perf_counter()
        learner.share()
        with ExitStack() as stack:
            if learner.average:
                stack.enter_context(learner.average.applied())
            stack.enter_context(adapters.merged(self.backbone))
            self._share_buffers()
            logits = source.validate()
            figures = self.setting.task.headline(logits, self.setting.feeds.val_labels)
            score = list(self.setting.task.score(figures))
            better = all(map(math.isfinite, score)) and score > progress.score
            if better:
                state = adapters.plain_state(self.backbone)
                self.best.keep(state, logits, final=self._final(phase))
        spent = progress.seconds + time.perf_counter() - began
        record: dict[str, Any] = {
            "epoch": len(progress.history) + 1,
            "phase": phase.name,
            "epoch_of_phase": progress.epoch + 1,
            "train_loss": progress.loss / progress.samples,
            **figures,
            "metric": self.setting.task.metric,
            **({"strength": strength_of(progress.epoch)} if phase.solved else {"lr": phase.lr}),
            "seconds": round(spent, 3),
            "samples_per_second": _four_digits(progress.samples / progress.seconds),
            "waiting": round(progress.waited / progress.seconds, 3),
            "best": better,
        }
        if progress.tokens:
            record["padding"] = round(progress.padding / progress.tokens, 3)
        progress.history.append(record)
        if better:
            progress.best_epoch, progress.metrics, progress.score = record["epoch"], figures, score
        progress.next_epoch()
        progress.total_seconds += spent
        self.setting.accelerator.log(
            figures | {"train_loss": record["train_loss"]}, record["epoch"]
        )
        self.setting.reporter.epoch(record, phase.epochs)

    def _final(self, phase: Phase) -> set[str]:
        """Parameters that stay as they are to the end: frozen ones, where nothing unfreezes any more."""
        if phase is not self.phases[-1] or phase.gradual:
            return set()
        return {name for name, p in self.backbone.named_parameters() if not p.requires_grad}

    def _learning(self) -> Learner | Solver:
        assert self.learner is not None
        return self.learner

    # -- several processes, and saving -------------------------------------------------------

    def _agreed(self, loss: float) -> tuple[float, bool, bool]:
        """The loss of all processes together, whether to stop, and whether to save."""
        accelerator, keeper = self.setting.accelerator, self.setting.keeper
        stop = self.setting.interrupts.received is not None
        if accelerator.num_processes == 1:
            return loss, stop, keeper.due()
        due = accelerator.is_main_process and keeper.due()
        own = torch.tensor([loss, stop, due], dtype=torch.float64, device=accelerator.device)
        total, stops, saves = accelerator.reduce(own, reduction="sum").tolist()
        return float(total), stops > 0, saves > 0

    def _share_buffers(self) -> None:
        """Give every process the statistics of the first, as it is the first's that are kept."""
        if self.setting.accelerator.num_processes > 1:
            for buffer in self.backbone.buffers():
                buffer.copy_(broadcast(buffer))

    def _save(self) -> None:
        if self.kept:
            return  # stopped again before it went on: what is on disk is still the state
        if self.learner is not None:
            self.learner.share()
        tensors = {f"backbone/{k}": v for k, v in self.backbone.state_dict().items()}
        if self.learner is not None:
            tensors |= {f"learner/{k}": v for k, v in self.learner.tensors().items()}
        self.setting.keeper.save(self.progress, self.best, tensors)


def _whereabouts(progress: Progress, phases: Sequence[Phase]) -> str:
    if progress.phase == len(phases):
        return "after the last step"
    name, epochs = phases[progress.phase].name, phases[progress.phase].epochs
    return (
        f"after {progress.step} steps of epoch {progress.epoch + 1} of {epochs} of phase {name!r}"
    )


def _speed(history: Sequence[Mapping[str, Any]]) -> float:
    """Training samples a second of training time in the last phase."""
    last = [record for record in history if record["phase"] == history[-1]["phase"]]
    times = [1 / float(record["samples_per_second"]) for record in last]
    return _four_digits(len(times) / sum(times))


def _four_digits(speed: float) -> float:
    """A speed as it is recorded: never 0, however long the process was paused."""
    return float(f"{speed:.4g}")
