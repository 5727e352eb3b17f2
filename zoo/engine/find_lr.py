"""Learning-rate range test: the rate rises from step to step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.engine.learner import Learner
from zoo.engine.readings import READ_SECONDS, READ_STEPS
from zoo.engine.sources import Batches
from zoo.engine.strategies import Phase
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import RunError, UsageError

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
_SMOOTH = 0.9  # weight of the past in the smoothed loss
_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class Curve:
    """The result of a range test.

    Attributes:
        rates: Learning rates of the head and the last stage, rising.
        losses: The smoothed loss at each.
        suggestion: The rate at which the loss falls fastest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def find_lr(setup: TrainingSetup, phase: Phase, *, steps: int = STEPS) -> Curve:
    """Train some steps with a rate that rises by a constant factor (Smith 2017, arXiv:1506.01186).

    The test ends early when the loss diverges. It changes the backbone.

    Args:
        setup: As for a fit.
        phase: The phase to find the rate for.
        steps: Number of steps from the lowest rate to the highest.

    Raises:
        UsageError: The phase trains the head alone.
        RunError: The loss does not fall at any rate.
    """
    if not phase.trains_backbone:
        raise UsageError(
            f"--find-lr needs a strategy that trains the backbone, got {phase.name!r}",
            hint="Use --strategy full or two-stage.",
        )
    factor = (HIGHEST / LOWEST) ** (1 / (steps - 1))
    source = Batches(setup)
    rising = replace(phase, lr=LOWEST, epochs=math.ceil(steps / source.steps), gradual=False)
    learner = Learner(setup, rising, 0, source, factor=lambda step: factor**step)
    smoothed = _Smoothed()
    with closing(setup.dataloaders), setup.reporter.steps("learning rates", steps) as tick:
        for number in range(steps):
            if number % source.steps == 0:
                epoch = source.epoch(number // source.steps, 0)
                learner.begin()
            step = next(epoch)
            smoothed.add(learner.step(number, step).loss / step.samples)
            if smoothed.due(last=number == steps - 1) and smoothed.read():
                break
            tick()
    losses = smoothed.losses
    rates = [LOWEST * factor**number for number in range(len(losses))]
    return Curve(tuple(rates), tuple(losses), steepest(rates, losses))


class _Smoothed:
    """The smoothed losses up to where they diverge; read from the device about once a second."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._taken: list[Tensor] = []
        self._last = time.perf_counter()

    def add(self, loss: Tensor) -> None:
        """Add the mean loss of a step that has been queued on the device."""
        self._taken.append(loss)

    def due(self, *, last: bool) -> bool:
        """Whether it is time to read."""
        waited = time.perf_counter() - self._last >= READ_SECONDS
        return last or waited or len(self._taken) >= READ_STEPS

    def read(self) -> bool:
        """Read what was added, waiting for the device; whether the loss has diverged."""
        taken, self._taken = self._taken, []
        for loss in torch.stack(taken).tolist():
            if not math.isfinite(loss):
                return True
            past = self.losses[-1] if self.losses else loss
            self.losses.append(_SMOOTH * past + (1 - _SMOOTH) * loss)
            if self.losses[-1] > _DIVERGED * min(self.losses):
                return True
        self._last = time.perf_counter()
        return False


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the smoothed loss falls fastest, before its minimum."""
    lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
    falls = [(losses[i - 1] - losses[i], rates[i]) for i in range(1, lowest + 1)]
    if not falls:
        raise RunError(
            "the loss does not fall at any learning rate between "
            f"{LOWEST:g} and {rates[-1] if rates else HIGHEST:g}",
            hint="Check the data and its labels first.",
        )
    return max(falls)[1]
