"""Head-only training on frozen features, by L-BFGS to convergence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.engine.break_even import Timing
from zoo.engine.interrupts import Interrupted
from zoo.engine.linear_fit import Fitted, Prior, Standardised, fit_linear
from zoo.engine.readings import StepResult
from zoo.engine.sources import Features, Step
from zoo.engine.strategies import STRENGTHS, Phase, strength_of
from zoo.engine.trainable import choose_trained
from zoo.engine.training_setup import TrainingSetup

_ROWS = 16_384  # features at a time
_ITERATIONS = 200


class Solver:
    """Fits the head by L-BFGS; each epoch has the solution for one strength, in one step.

    A linear layer is fitted for all strengths at once, in the first step, on standardised features:
    the loss is the mean over all samples plus ``0.5 · strength / N`` times the squared norm of its
    weights, as of scikit-learn's logistic regression with ``C = 1 / strength``. The layer that is
    kept is for the features as they are. Where rows are kept from an old head, the norm is that of
    the difference from them.

    Any other head is fitted by torch's L-BFGS to one strength after another, each from the solution
    before. Its features are not standardised: ``strength`` is times their mean square.
    """

    average = None

    def __init__(self, setup: TrainingSetup, phase: Phase, source: Features) -> None:
        choose_trained(setup.forward.backbone, phase, setup.recipe)
        self.accumulate = 1
        self._setup, self._source = setup, source
        self._head = setup.forward.backbone.head
        self._parameters = [p for p in self._head.parameters() if p.requires_grad]
        self._fitted: Sequence[Fitted] = ()

    def begin(self) -> None:
        """Evaluation mode: a line search needs the same loss for the same parameters."""
        self._head.eval()

    def timed(self, timing: Timing, done: int) -> None:
        """Nothing is compiled."""

    def step(self, number: int, step: Step) -> StepResult:
        """Fit with the strength of this epoch."""
        if type(self._head) is nn.Linear:
            loss = self._take(self._head, number, step)
        else:
            loss = torch.tensor(self._solve(number, step), dtype=torch.float64)
        loss = loss / int(self._setup.accelerator.num_processes)  # each has all samples
        return StepResult(loss, torch.zeros_like(loss))  # the norm at the solution

    # -- a linear layer --------------------------------------------------------------------------

    @torch.no_grad()
    def _take(self, head: nn.Linear, number: int, step: Step) -> Tensor:
        """Give the head the solution of this epoch; returns the sum of the samples' losses."""
        if not self._fitted:
            self._fitted = self._fit(head, step)
        weight, bias, loss = self._fitted[number % len(STRENGTHS)]
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias)
        return loss * step.samples

    @torch.enable_grad()
    def _fit(self, head: nn.Linear, step: Step) -> Sequence[Fitted]:
        def chunks() -> Iterator[Tensor]:
            for some in self._chunks(step):
                rows, _ = self._source.place(some, 0)
                assert isinstance(rows, Tensor)
                yield rows

        bias = head.bias is not None
        assert isinstance(step.inputs, Tensor)
        labels = replace(step, inputs=step.inputs[:0])
        prior = self._setup.prior
        return fit_linear(
            Standardised.of(chunks, centred=bias),
            self._source.place(labels, 0)[1],
            self._setup.loss,
            outputs=head.out_features,
            bias=bias,
            strengths=STRENGTHS,
            prior=prior and Prior(*(each.to(head.weight) for each in prior)),
            check=self._check,
        )

    def _check(self) -> None:
        """Stop after a signal; several processes stop after the step, together."""
        alone = self._setup.accelerator.num_processes == 1
        if alone and self._setup.interrupts.received is not None:
            raise Interrupted

    # -- any other head --------------------------------------------------------------------------

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
        return self._total(step)

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
        """The losses of all samples, in chunks."""
        for some in self._chunks(step):
            inputs, targets = self._source.place(some, 0)
            yield self._setup.loss(self._head(inputs).float(), targets)

    @staticmethod
    def _chunks(step: Step) -> Iterator[Step]:
        """The step in chunks of :data:`_ROWS` samples."""
        assert isinstance(step.inputs, Tensor)
        for start in range(0, step.samples, _ROWS):
            rows = slice(start, start + _ROWS)
            yield replace(step, inputs=step.inputs[rows], labels=step.labels[rows])

    # -- as of a learner -------------------------------------------------------------------------

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
