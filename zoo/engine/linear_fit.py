"""A linear head for several regularisation strengths at once, by L-BFGS without reading each step.

Everything stays on the device: all strengths are columns of the same matrix products, and the
host reads every :data:`READ_EVERY` iterations whether they have converged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ITERATIONS = 100
"""The most iterations."""

READ_EVERY = 10
"""Iterations between two readings."""

_HISTORY = 10  # pairs of steps and changes of the gradient
_ENOUGH = 1e-3  # share of the objective that it must fall by between two readings,
_LEAST = 1e-4  # and by how much
_STEEP = 1e-4  # norm of the gradient at the solution, as a share of that at the start
_FLOOR = 0.1  # of the mean variance, added to the variance of each feature
_LOGITS, _STATE = 2**22, 2**25  # numbers that the strengths fitted at once may take


class Fitted(NamedTuple):
    """The head at one strength.

    Attributes:
        weight: ``(outputs, feature_dim)``, for features as they are.
        bias: ``(outputs,)``.
        loss: ``()``, the mean loss of the samples, without the penalty.
    """

    weight: Tensor
    bias: Tensor
    loss: Tensor


class Prior(NamedTuple):
    """The head that the penalty measures the distance from.

    Attributes:
        weight: ``(outputs, feature_dim)``, for features as they are.
        bias: ``(outputs,)``.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Standardised:
    """Features ``x`` as ``(x - mean) / scale``, which is never computed: only products with it.

    The variance that the scale is taken from has a floor, so that a feature that is nearly
    constant does not count as much as the others.

    Attributes:
        chunks: Yields all features, some rows at a time, on the device.
        mean: ``(D,)``; zeros for a head without bias.
        scale: ``(D,)``.
    """

    chunks: Callable[[], Iterator[Tensor]]
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, chunks: Callable[[], Iterator[Tensor]], *, centred: bool) -> Standardised:
        """Measure mean and scale; without a mean, the scale is the root mean square."""
        count = sum(len(rows) for rows in chunks())
        mean = torch.stack([rows.sum(dim=0) for rows in chunks()]).sum(dim=0) / count
        if not centred:
            mean = torch.zeros_like(mean)
        squares = [(rows - mean).square().sum(dim=0) for rows in chunks()]
        variance = torch.stack(squares).sum(dim=0) / count
        floored = variance + _FLOOR * variance.mean()
        scale = torch.where(floored > 0, floored, 1.0).sqrt()
        return cls(chunks, mean, scale)

    def head(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(S, D, C)`` and biases ``(S, C)`` for features as they are, from a state."""
        weight = state[:, :-1] / self.scale[:, None]
        return weight, state[:, -1] - torch.einsum("d,sdc->sc", self.mean, weight)

    def state(self, head: Prior) -> Tensor:
        """The inverse of :meth:`head` for one head: ``(1, D + 1, C)``."""
        weight = head.weight.T * self.scale[:, None]
        bias = head.bias + head.weight @ self.mean
        return torch.cat([weight, bias[None]])[None]

    def logits(self, state: Tensor) -> Tensor:
        """``(N, S, C)`` from a state ``(S, D + 1, C)``: weights, then biases."""
        weight, bias = self.head(state)
        strengths, width, outputs = weight.shape
        matrix = weight.permute(1, 0, 2).reshape(width, -1)
        return torch.cat(
            [(rows @ matrix).view(len(rows), strengths, outputs) + bias for rows in self.chunks()]
        )

    def gradient(self, of_logits: Tensor) -> Tensor:
        """Of the state, ``(S, D + 1, C)``, from that of the logits, ``(N, S, C)``."""
        _, strengths, outputs = of_logits.shape
        start, total = 0, torch.zeros((), device=of_logits.device)
        for rows in self.chunks():
            part = of_logits[start : (start := start + len(rows))]
            total = total + rows.T @ part.flatten(1)
        bias = of_logits.sum(dim=0)  # (S, C)
        weight = total.view(-1, strengths, outputs).permute(1, 0, 2)
        weight = (weight - self.mean[:, None] * bias[:, None]) / self.scale[:, None]
        return torch.cat([weight, bias[:, None]], dim=1)


def fit_linear(
    features: Standardised,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    outputs: int,
    bias: bool,
    strengths: Sequence[float],
    prior: Prior | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Fitted]:
    """Fit a linear head for each strength.

    The objective is the mean loss plus ``0.5 · strength / N`` times the squared norm of the weights
    for standardised features: scikit-learn's logistic regression on them with ``C = 1 / strength``.
    With a prior, that is the norm of the difference from its weights.

    Args:
        features: ``(N, D)``.
        targets: ``(N, …)``, on the device.
        loss: From logits ``(B, C)`` and targets to one loss per sample, ``(B,)``; convex.
        outputs: ``C``.
        bias: Whether the head has a bias.
        strengths: Of the penalty, strongest first.
        prior: The head to stay near to; zeros by default.
        check: Called between iterations; may raise to stop.
    """
    samples, width = len(targets), len(features.scale)
    values = 2 * _HISTORY * (width + 1) * outputs
    together = max(1, min(_LOGITS // (samples * outputs), _STATE // values))
    start = torch.zeros(1, width + 1, outputs, device=features.scale.device)
    origin = start if prior is None else features.state(prior)
    base = None if prior is None else features.logits(origin)
    fitted: list[Fitted] = []
    for first in range(0, len(strengths), together):
        some = strengths[first : first + together]
        problem = _Problem(features, targets, loss, some, bias=bias, base=base)
        state, losses = _minimised(problem, start.expand(len(some), -1, -1), check)
        weight, biases = features.head(state + origin)
        fitted += map(Fitted, weight.transpose(1, 2), biases, losses)
        start = state[-1:]
    return fitted


class _Problem:
    """The objectives of some strengths, and their gradients."""

    def __init__(
        self,
        features: Standardised,
        targets: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        strengths: Sequence[float],
        *,
        bias: bool,
        base: Tensor | None,
    ) -> None:
        self.features, self._loss, self._bias, self._base = features, loss, bias, base
        self._samples, self._count = len(targets), len(strengths)
        repeated = targets[:, None].expand(-1, self._count, *targets.shape[1:])
        self._targets = repeated.reshape(-1, *targets.shape[1:])
        shares = torch.tensor(strengths, device=targets.device) / self._samples
        self._penalty = shares[:, None, None]

    def logits(self, state: Tensor) -> Tensor:
        """``(N, S, C)`` at a state, which counts from the prior."""
        logits = self.features.logits(state)
        return logits if self._base is None else logits + self._base

    def losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The mean losses ``(S,)`` and their gradients ``(N, S, C)``."""
        leaf = logits.detach().requires_grad_()
        each = self._loss(leaf.flatten(0, 1), self._targets)
        mean = each.view(self._samples, self._count).mean(dim=0)
        (gradient,) = torch.autograd.grad(mean.sum(), leaf)
        return mean.detach(), gradient

    def penalised(self, state: Tensor) -> Tensor:
        """The gradient of the penalty: of the weights alone."""
        return torch.cat([self._penalty * state[:, :-1], torch.zeros_like(state[:, -1:])], dim=1)

    def gradient(self, of_logits: Tensor, state: Tensor) -> Tensor:
        """The gradient of the objective, ``(S, D + 1, C)``."""
        gradient = self.features.gradient(of_logits) + self.penalised(state)
        if not self._bias:
            gradient[:, -1] = 0
        return gradient


def _minimised(
    problem: _Problem, state: Tensor, check: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """The states that minimise the objectives, and the mean losses there."""
    logits = problem.logits(state)
    loss, of_logits = problem.losses(logits)
    gradient = problem.gradient(of_logits, state)
    history = _History(gradient)
    line = _Line(loss + 0.5 * _dot(problem.penalised(state), state), loss, logits, of_logits)
    before, steep = line.objective, _STEEP * _norm(gradient)
    for iteration in range(1, ITERATIONS + 1):
        check()
        change = problem.features.logits(direction := history.direction(gradient))
        direction, change = history.scaled(direction, change)
        line, length = _search(problem, line, state, direction, change, _dot(gradient, direction))
        step = length[:, None, None] * direction
        state = state + step
        after = problem.gradient(line.of_logits, state)
        history.add(step, after - gradient)
        gradient = after
        if iteration % READ_EVERY == 0:
            fell = before - line.objective > (_ENOUGH * line.objective).clamp(min=_LEAST)
            if not bool((fell & (_norm(gradient) > steep)).any()):
                break
            before = line.objective
    return state, line.loss


class _Line(NamedTuple):
    """A point on the line of a search: ``(S,)``, ``(S,)``, ``(N, S, C)``, ``(N, S, C)``."""

    objective: Tensor
    loss: Tensor
    logits: Tensor
    of_logits: Tensor


def _search(
    problem: _Problem, at: _Line, state: Tensor, direction: Tensor, change: Tensor, slope: Tensor
) -> tuple[_Line, Tensor]:
    """A point along the direction, and the step length there, by one secant step.

    Along a line the logits are linear, so that no product with the features is needed. What does
    not lower the objective gets the length 0.

    Args:
        problem: The objectives.
        at: The start.
        state: There.
        direction: ``(S, D + 1, C)``.
        change: Of the logits, in that direction.
        slope: Of the objectives at the start, ``(S,)``.
    """
    penalty, pulled = problem.penalised(direction), problem.penalised(state)
    linear, square = _dot(pulled, direction), _dot(penalty, direction)
    fixed = at.objective - at.loss

    def point(length: Tensor) -> tuple[_Line, Tensor]:
        logits = at.logits + length[:, None] * change
        loss, of_logits = problem.losses(logits)
        objective = loss + fixed + length * linear + 0.5 * length.square() * square
        there = (of_logits * change).sum(dim=(0, 2)) + linear + length * square
        return _Line(objective, loss, logits, of_logits), there

    whole = torch.ones_like(slope)
    first, there = point(whole)
    rising = there > slope
    root = torch.where(rising, slope / torch.where(rising, slope - there, -1.0), _LONGEST)
    length = root.clamp(_SHORTEST, _LONGEST)
    fits = (there.abs() <= _FLAT * slope.abs()) & (first.objective <= at.objective)
    length = torch.where(fits, whole, length)
    second, _ = point(length)
    lower, low = second.objective <= at.objective, first.objective < at.objective
    length = torch.where(lower, length, torch.where(low, whole, 0.0))
    return _chosen(lower, second, _chosen(low, first, at)), length


_SHORTEST, _LONGEST = 0.05, 8.0  # step lengths
_FLAT = 0.3  # of the slope at the start


def _chosen(which: Tensor, one: _Line, other: _Line) -> _Line:
    """For each strength one of two points."""
    wide = which[:, None]
    return _Line(
        torch.where(which, one.objective, other.objective),
        torch.where(which, one.loss, other.loss),
        torch.where(wide, one.logits, other.logits),
        torch.where(wide, one.of_logits, other.of_logits),
    )


class _History:
    """The latest steps and changes of the gradient (Liu and Nocedal 1989), for each strength.

    Args:
        gradient: At the start: ``(S, D + 1, C)``.
    """

    def __init__(self, gradient: Tensor) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_HISTORY)
        self._scale = torch.ones_like(gradient[:, 0, 0])
        self._fresh = torch.ones_like(self._scale, dtype=torch.bool)

    def direction(self, gradient: Tensor) -> Tensor:
        """Where to go from a point with this gradient."""
        result, factors = gradient, []
        for step, change, inverse in reversed(self._pairs):
            factors.append(inverse * _dot(step, result))
            result = result - factors[-1][:, None, None] * change
        result = result * self._scale[:, None, None]
        for step, change, inverse in self._pairs:
            factor = factors.pop() - inverse * _dot(change, result)
            result = result + factor[:, None, None] * step
        return -result

    def scaled(self, direction: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """The direction and the change of the logits; without history no logit changes by over 1."""
        most = change.abs().amax(dim=(0, 2)).clamp(min=_TINY)
        factor = torch.where(self._fresh, 1 / most, 1.0)
        return factor[:, None, None] * direction, factor[:, None] * change

    def add(self, step: Tensor, change: Tensor) -> None:
        """Add a step and the change of the gradient; without a step, the history is forgotten."""
        along, square = _dot(step, change), _dot(change, change)
        curved = along > 1e-10 * square
        inverse = torch.where(curved, 1 / along.clamp(min=_TINY), 0.0)
        self._scale = torch.where(curved, along / square.clamp(min=_TINY), 1.0)
        self._fresh = ~curved
        kept = [(s, c, torch.where(curved, i, 0.0)) for s, c, i in self._pairs]
        self._pairs = deque([*kept, (step, change, inverse)], maxlen=_HISTORY)


_TINY = 1e-30


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=(1, 2))


def _norm(one: Tensor) -> Tensor:
    return _dot(one, one).sqrt()
