"""The steps of a phase under cuts: the schedule does not jump, and ends where it would have."""

from __future__ import annotations

import pytest

from zoo.engine.schedules import SCHEDULES, schedule
from zoo.engine.timetable import Timetable


def test_without_cuts_every_step_is_at_its_own_place():
    table = Timetable(10, 5)
    assert (table.total, table.epochs) == (50, 5)
    assert [table.place(step) for step in (0, 7, 49)] == [0, 7, 49]


@pytest.mark.parametrize("cuts", [[(4, 20)], [(4, 20), (10, 15)], [(4, 20), (10, 50)], [(0, 1)]])
def test_the_last_step_is_where_the_last_step_was_to_be(cuts):
    table = Timetable(10, 5, cuts)
    assert table.place(table.total - 1) == pytest.approx(49)
    places = [table.place(step) for step in range(table.total)]
    assert places == sorted(places)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_learning_rate_does_not_jump_at_a_cut_and_ends_as_planned(name):
    factor = schedule(name, 1000, 0.1)
    table = Timetable(100, 10, [(400, 700)])
    assert factor(table.place(400)) == factor(400)
    assert factor(table.place(401)) == pytest.approx(factor(400), abs=0.01)
    assert factor(table.place(699)) == pytest.approx(factor(999))


def test_an_epoch_cut_short_counts_as_one():
    table = Timetable(10, 5, [(12, 25)])
    assert (table.total, table.epochs) == (25, 3)


def test_a_cut_at_the_last_step_ends_the_schedule_there():
    table = Timetable(10, 5, [(12, 13)])
    assert table.place(12) == 49
