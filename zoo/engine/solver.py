"""Head-only training on frozen features, by L-BFGS to convergence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from zoo.engine.break_even import Timing
from zoo.engine.readings import StepResult
from zoo.engine.sources import Features, Step
from zoo.engine.strategies import Phase, strength_of
from zoo.engine.trainable import choose_trained
from zoo.engine.training_setup import TrainingSetup

_ROWS = 16_384  # features at a time
_ITERATIONS = 200


class Solver:
    """Fits the head by torch's L-BFGS (Liu and Nocedal 1989).

    The loss is the mean over all samples plus ``0.5 · strength · m / N`` times the squared norm of
    the head's matrices, where ``m`` is the mean square of the features; for ``m = 1`` that is
    scikit-learn's logistic regression with ``C = 1 / strength``. Each epoch fits one strength, in
    one step.
    """

    average = None

    def __init__(self, setup: TrainingSetup, phase: Phase, source: Features) -> None:
        choose_trained(setup.forward.backbone, phase, setup.recipe)
        self.accumulate = 1
        self._setup, self._source = setup, source
        self._head = setup.forward.backbone.head
        self._parameters = [p for p in self._head.parameters() if p.requires_grad]

    def begin(self) -> None:
        """Evaluation mode: a line search needs the same loss for the same parameters."""
        self._head.eval()

    def timed(self, timing: Timing, done: int) -> None:
        """Nothing is compiled."""

    def step(self, number: int, step: Step) -> StepResult:
        """Fit with the strength of this epoch."""
        loss = torch.tensor(self._solve(number, step), dtype=torch.float64)
        return StepResult(loss, torch.zeros(()))  # the norm at the solution

    def _solve(self, number: int, step: Step) -> float:
        """Fit with the strength of this epoch; returns the sum of the samples' losses."""
        assert isinstance(step.inputs, Tensor)
        scale = float(step.inputs[:_ROWS].square().mean())
        if not math.isfinite(scale + (before := self._total(step))):
            return scale + before  # the caller reports it; L-BFGS would raise
        strength = strength_of(number) * scale / step.samples
        optimizer = torch.optim.LBFGS(
            self._parameters,
            max_iter=_ITERATIONS,
            tolerance_grad=1e-6,
            tolerance_change=1e-9,
            line_search_fn="strong_wolfe",
        )

        def closure() -> float:
            optimizer.zero_grad()
            loss = self._backward(step)
            for parameter in self._parameters:
                if parameter.ndim > 1:
                    penalty = 0.5 * strength * parameter.square().sum()
                    penalty.backward()  # type: ignore[no-untyped-call]
                    loss += penalty.item()
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        optimizer.zero_grad()
        return self._total(step) / int(self._setup.accelerator.num_processes)  # each has all

    @torch.no_grad()
    def _total(self, step: Step) -> float:
        """The sum of all samples' losses."""
        return sum(float(losses.sum()) for losses in self._losses(step))

    def _backward(self, step: Step) -> float:
        total = 0.0
        for losses in self._losses(step):
            loss = losses.sum() / step.samples
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def _losses(self, step: Step) -> Iterator[Tensor]:
        """The losses of all samples, in chunks of :data:`_ROWS`."""
        assert isinstance(step.inputs, Tensor)
        for start in range(0, step.samples, _ROWS):
            rows = slice(start, start + _ROWS)
            some = replace(step, inputs=step.inputs[rows], labels=step.labels[rows])
            inputs, targets = self._source.place(some, 0)
            yield self._setup.loss(self._head(inputs).float(), targets)

    def gather(self) -> None:
        """Nothing to do: the head is part of the backbone."""

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the solution is in the head's parameters."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor], *, accumulate: int) -> None:
        """Nothing to load."""


class AllFeatures:
    """Features as a source with one step per epoch."""

    compilable, steps = False, 1

    def __init__(self, features: Features) -> None:
        self.trained, self.place, self.validate = (
            features.trained,
            features.place,
            features.validate,
        )
        self._features = features

    def epoch(self, epoch: int, start: int) -> Iterator[Step]:  # noqa: ARG002 - nothing is shuffled
        """All samples at once."""
        if not start:
            yield self._features.everything()
