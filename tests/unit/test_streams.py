"""The order of work on a device that computes while the host goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.engine import streams
from zoo.engine.streams import AHEAD, FETCHED_BATCHES, Copies, Fetched, Pace


class Clock:
    """Makes CUDA events whose times a test sets, and notes which are waited for."""

    def __init__(self, times: list[float]) -> None:
        self.times, self.made, self.waited = iter(times), 0, list[int]()

    def event(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        clock, number, self.made = self, self.made, self.made + 1

        class Event:
            time = 0.0

            def record(self) -> None:
                self.time = next(clock.times)

            def synchronize(self) -> None:
                clock.waited.append(number)

            def elapsed_time(self, later: Any) -> float:
                return 1000 * float(later.time - self.time)

        return Event()


def test_the_device_waits_for_data_only_while_it_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # begins and ends of four steps, in seconds; the device is idle before the third and fourth
    clock = Clock([0, 10, 10, 20, 23, 30, 34, 40])
    monkeypatch.setattr(torch.cuda, "Event", clock.event)
    pace = Pace(torch.device("cuda"))
    for waited in (1.0, 5.0, 5.0, 0.5):
        with pace.step(waited):
            pass
    assert clock.waited == [1, 3]  # the ends of the first two, before the third and the fourth
    assert AHEAD == 2
    # the first batch; nothing, the device was busy; all of the gap; as long as the host waited
    assert pace.idle() == 1.0 + 0.0 + 3.0 + 0.5
    assert pace.idle() == 0.0


def test_on_a_cpu_all_waiting_counts() -> None:
    pace = Pace(torch.device("cpu"))
    for waited in (1.0, 2.0):
        with pace.step(waited):
            pass
    assert pace.idle() == 3.0


def test_outputs_are_handed_over_several_batches_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[torch.device] = []
    monkeypatch.setattr(streams, "wait_for", waits.append)
    rows = torch.zeros(3 * (FETCHED_BATCHES + 1), 2)

    def write(index: Tensor, outputs: Tensor) -> None:
        rows[index] = outputs

    fetched = Fetched(torch.device("cpu"), write)
    for number in range(FETCHED_BATCHES + 1):
        index = torch.arange(3 * number, 3 * number + 3)
        fetched.add(index, index[:, None].expand(3, 2).float())
        assert len(waits) == (number + 1 >= FETCHED_BATCHES)
    fetched.finish()
    assert len(waits) == 2
    assert rows[:, 0].tolist() == list(range(len(rows)))


def test_many_bytes_are_handed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FETCHED_BYTES", 100)
    written: list[int] = []
    fetched = Fetched(torch.device("cpu"), lambda index, _: written.extend(index.tolist()))
    fetched.add(torch.tensor([0]), torch.zeros(1, 24))
    assert written == []
    fetched.add(torch.tensor([1]), torch.zeros(1, 1))
    assert written == [0, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_is_copied_beside_the_computation() -> None:
    device = torch.device("cuda")
    batch = {"pixel_values": torch.randn(4, 3, 8, 8).pin_memory(), "labels": torch.arange(4)}
    placed = Copies(device)(batch)
    assert all(torch.equal(placed[key].cpu(), batch[key]) for key in batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        Copies(device)({"pixel_values": batch["pixel_values"]})
    finally:
        torch.cuda.set_sync_debug_mode("default")
