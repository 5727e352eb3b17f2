"""The course of the learning rate."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from zoo.engine.schedules import SCHEDULES, schedule


def course(name: str, steps: int, warmup: float) -> list[float]:
    factor = schedule(name, steps, warmup)
    return [factor(step) for step in range(steps)]


def test_cosine_rises_in_a_line_and_falls_in_half_a_cosine():
    expected = [0.5, 1.0] + [0.5 * (1 + math.cos(math.pi * (s - 2) / 18)) for s in range(2, 20)]
    assert course("cosine", 20, 0.1) == expected
    assert schedule("cosine", 20, 0.1)(20) == 0.0


def test_linear_rises_and_falls_in_lines():
    assert course("linear", 10, 0.2) == pytest.approx([0.5, 1, *[1 - i / 8 for i in range(8)]])
    assert schedule("linear", 10, 0.2)(10) == schedule("linear", 10, 0.2)(11) == 0.0


def test_constant_rises_and_stays():
    assert course("constant", 10, 0.4) == [0.25, 0.5, 0.75, *[1.0] * 7]


@pytest.mark.parametrize(("steps", "share"), [(40, 0.3), (40, 0.1), (7, 0.3), (100, 0.55)])
def test_one_cycle_has_the_shape_of_torchs(steps, share):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=share, cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            theirs.step()
    assert course("one-cycle", steps, share) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_course_stays_within_zero_and_one_however_short(name):
    for steps, warmup in itertools.product([1, 2, 3, 10], [0.0, 0.1, 0.5, 0.9]):
        factors = course(name, steps, warmup)
        assert all(0 <= factor <= 1 for factor in factors), (steps, warmup)
        assert max(factors) > 0, (steps, warmup)
        assert 0 <= schedule(name, steps, warmup)(steps) <= 1, (steps, warmup)
