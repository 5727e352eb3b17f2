"""Work that stops when the time is over; the clock is one that the test moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.ranking.deadline import Deadline, OutOfTime


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("zoo.ranking.deadline.time.monotonic", clock)
    return clock


def test_work_ends_the_reserve_before_the_limit(clock: Clock) -> None:
    deadline = Deadline(10, reserve=2, started=99.0)
    assert (deadline.left, deadline.passed) == (7, 1)
    deadline.check()
    clock.now = 107.0
    with pytest.raises(OutOfTime):
        deadline.check()
    assert deadline.left == 0


def test_without_a_limit_there_is_no_end(clock: Clock) -> None:
    deadline = Deadline(None, reserve=2)
    clock.now = 1e9
    deadline.check()


def test_a_network_is_left_in_the_middle_of_a_batch(clock: Clock) -> None:
    ran: list[str] = []

    class Slow(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append(self.name)
            clock.now += 5
            return x

    network = nn.Sequential(*(Slow(name) for name in "abcd"))
    deadline = Deadline(8)
    with pytest.raises(OutOfTime), deadline.watched(network):
        network(torch.zeros(1))
    assert ran == ["a", "b"]
    network(torch.zeros(1))  # nobody watches any more
    assert ran == [*"ab", *"abcd"]
