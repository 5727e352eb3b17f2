"""Seconds by part: what is in a part within another is not counted twice."""

from __future__ import annotations

import time

import pytest

from zoo.system.parts import Parts, process_start


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("zoo.system.parts.time.perf_counter", lambda: now[0])
    return now


def test_parts_within_parts_are_counted_once(clock: list[float]) -> None:
    parts = Parts()
    clock[0] += 2
    parts.so_far("start")
    with parts.part("training"):
        clock[0] += 5
        with parts.part("checkpoints"):
            clock[0] += 1
            with parts.part("flush"):
                clock[0] += 0.5
        clock[0] += 3
    with parts.part("training"):
        clock[0] += 10
    parts.move(4, "training", "waiting")
    clock[0] += 7
    assert parts.seconds() == {
        "start": 2, "flush": 0.5, "checkpoints": 1, "training": 14, "waiting": 4, "other": 7,
    }  # fmt: skip
    assert sum(parts.seconds().values()) == clock[0] - 100


def test_a_part_that_fails_is_counted(clock: list[float]) -> None:
    parts = Parts()

    def fail() -> None:
        with parts.part("a"), parts.part("b"):
            clock[0] += 1
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    with parts.part("c"):
        clock[0] += 1
    assert parts.seconds() == {"b": 1, "a": 0, "c": 1, "other": 0}


def test_lines_have_shares_of_the_total(clock: list[float]) -> None:
    parts = Parts()
    with parts.part("training"):
        clock[0] += 30
    clock[0] += 10
    assert {name: line.split()[:3] for name, line in parts.in_words().items()} == {
        "training": ["30.00", "s", "75%"],
        "other": ["10.00", "s", "25%"],
        "total": ["40.00", "s", "100%"],
    }


def test_processors_are_counted_beside_the_clock(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = [5.0]
    monkeypatch.setattr("zoo.system.parts.time.process_time", lambda: used[0])
    parts = Parts(began=time.time())
    parts.so_far("start-up")
    with parts.part("training"):
        clock[0], used[0] = clock[0] + 10, used[0] + 20
    parts.move(4, "training", "waiting")
    lines = {name: line.split()[3:5] for name, line in parts.in_words().items()}
    assert lines == {
        "start-up": ["5.00", "s"], "training": ["20.00", "s"], "waiting": ["0.00", "s"],
        "other": ["0.00", "s"], "total": ["25.00", "s"],
    }  # fmt: skip


def test_the_time_since_the_process_started_is_counted() -> None:
    assert 0 < time.time() - process_start() < 24 * 3600
    parts = Parts(began=time.time() - 60)
    parts.so_far("start-up")
    assert parts.seconds()["start-up"] == pytest.approx(60, abs=1)
