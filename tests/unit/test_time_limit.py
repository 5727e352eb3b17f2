"""How many epochs fit into a time limit, by a clock of the test."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from zoo.engine.time_limit import MARGIN, RESERVE, EpochTooLong, PhasePlan, TimeLimit
from zoo.engine.timetable import Timetable
from zoo.errors import UsageError


class Clock:
    """A clock that stands still unless told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def planned(seconds: float, *, epochs: int = 10, spent: float = 0.0, validated: bool = False):
    """A limit and the plan of a phase of 10 steps an epoch, one second a step, and its clock."""
    clock = Clock()
    limit = TimeLimit(seconds, 0.0, report=False, clock=clock)
    table = Timetable(10, epochs)
    plan = PhasePlan(limit, table, share=1, val_steps=2, validated=validated)
    clock.now = spent
    return clock, limit, table, plan


def timed(clock: Clock, plan: PhasePlan, steps: int, seconds: float = 1.0) -> None:
    plan.add(1, 9.0)  # the first reading, with the warm-up
    for _ in range(steps):
        clock.now += seconds
        plan.add(1, seconds)


def test_as_many_epochs_as_fit():
    clock, limit, _, plan = planned(60)
    timed(clock, plan, 3)
    total = plan.total(4)
    rest = (total - 4) + total / 10  # steps, and a validation of a second after each epoch
    assert total % 10 == 0
    assert rest * MARGIN <= limit.left
    assert (rest + 11) * MARGIN > limit.left


def test_never_more_epochs_than_the_recipe_has():
    clock, _, _, plan = planned(10_000)
    timed(clock, plan, 3)
    assert plan.total(4) == 100


def test_nothing_is_planned_before_some_steps_were_timed():
    _, _, _, plan = planned(60)
    plan.add(1, 9.0)
    assert plan.total(1) == 100


def test_a_slower_machine_shortens_the_plan_and_then_the_last_epoch():
    clock, _, table, plan = planned(60)
    timed(clock, plan, 3)
    table.cut(4, plan.total(4))
    before = table.total
    timed(clock, plan, 10, seconds=3)
    assert table.steps < plan.total(14) < before
    clock.now = 60 - RESERVE - 5
    assert 14 <= plan.total(14) < 20  # within the epoch


def test_between_two_epochs_the_plan_grows_again():
    clock, _, table, plan = planned(200)
    timed(clock, plan, 3, seconds=5)
    table.cut(4, plan.total(4))
    before = table.total
    timed(clock, plan, 200, seconds=0.01)
    plan.validated(0.1)
    assert plan.total(13) == before  # within an epoch it does not
    assert plan.total(20) > before


def test_no_epoch_fits():
    clock, _, _, plan = planned(10)
    timed(clock, plan, 3)
    with pytest.raises(EpochTooLong) as caught:
        plan.total(4)
    assert caught.value.epoch == pytest.approx(11 * MARGIN)
    clock, _, _, plan = planned(1.2 * caught.value.needed)  # as the error says
    timed(clock, plan, 3)
    assert plan.total(4) == 10


def test_out_of_time_ends_where_it_is():
    clock, _, _, plan = planned(30, validated=True)
    timed(clock, plan, 3)
    clock.now = 29
    assert plan.total(14) == 14
    assert plan.total(20) == 20


def test_a_resumed_run_counts_what_was_spent():
    clock, limit, _, _ = planned(60)
    clock.now = 5
    limit.resume(50)
    assert limit.spent == 55
    assert limit.left == pytest.approx(5 - RESERVE)


def test_a_limit_that_passes_before_training_starts():
    clock, limit, _, _ = planned(10)
    limit.require_left()
    clock.now = 9
    with pytest.raises(UsageError, match="10 s is too short: starting took 9 s"):
        limit.require_left()


def test_features_that_take_too_long_are_refused_early():
    clock, limit, _, _ = planned(30)

    @contextmanager
    def steps(what, total):
        yield lambda: None

    with limit.guarded(steps)("features", 10) as advance:
        for _ in range(9):
            clock.now += 2
            advance()
    clock.now = 0
    with limit.guarded(steps)("features", 100) as advance:
        clock.now += 2
        with pytest.raises(
            UsageError, match="computing the features of all samples takes about 3 min"
        ):
            advance()


def test_what_comes_after_training_is_reserved_once_its_speed_is_known():
    clock = Clock()
    limit = TimeLimit(100, 0.0, report=False, closing=10, clock=clock)
    plan = PhasePlan(limit, Timetable(10, 5), share=1, val_steps=4, validated=False)
    assert limit.reserve == RESERVE
    plan.add(1, 2.0)
    assert limit.reserve == pytest.approx(RESERVE + MARGIN * 10 * 1.0)  # half a training step
    plan.validated(2.0)
    assert limit.reserve == pytest.approx(RESERVE + MARGIN * 10 * 0.5)
