"""Learning-rate schedules: a factor on the learning rate, as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

Factor = Callable[[float], float]
"""From a step, counted from 0, or a place between two, to the factor on the learning rate, in [0, 1]."""

_DIV, _FINAL_DIV = 25.0, 1e4  # those of torch's OneCycleLR


def cosine(step: float, *, steps: int, warmup: float) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def linear(step: float, *, steps: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return max(0.0, 1 - (step - rise) / max(1, steps - rise))


def constant(step: float, *, steps: int, warmup: float) -> float:
    """Linear warm-up, then the full learning rate."""
    rise = max(1, round(steps * warmup))
    return min(1.0, (step + 1) / rise)


def one_cycle(step: float, *, steps: int, warmup: float) -> float:
    """Half a cosine up from 1/25, then half a cosine down to 1/250,000.

    The shape of torch's ``OneCycleLR`` after Smith 2018, arXiv:1803.09820, whose ``pct_start`` is
    ``warmup``; torch's own is 0.3. Momentum does not change.
    """
    peak, last = max(0.0, warmup * steps - 1), max(1, steps - 1)
    low, lowest = 1 / _DIV, 1 / _DIV / _FINAL_DIV
    if step < peak:
        return _half_cosine(low, 1.0, step / peak)
    return _half_cosine(1.0, lowest, min(1.0, (step - peak) / (last - peak)))


SCHEDULES: Mapping[str, Callable[..., float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
    "one-cycle": one_cycle,
}


def schedule(name: str, steps: int, warmup: float) -> Factor:
    """The factor on the learning rate for each step of a phase.

    Args:
        name: ``cosine``, ``linear``, ``constant`` or ``one-cycle``.
        steps: Number of steps of the phase.
        warmup: Fraction of steps for warm-up, in [0, 1); at least one step, except for
            ``one-cycle``.
    """
    return partial(SCHEDULES[name], steps=steps, warmup=warmup)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
