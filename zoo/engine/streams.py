"""The order of work on a device that computes while the host goes on.

On a CPU, where every operation is finished when its call returns, all of this does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

AHEAD = 2
"""Steps that may be queued on the device. One keeps it busy while the host prepares the next; more
would only take memory, and delay Ctrl-C."""

FETCHED_BATCHES, FETCHED_BYTES = 16, 64 * 2**20
"""After so many batches, or bytes, of outputs the host waits for the device to read them."""


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished everything that is queued on it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class Copies:
    """Copies batches to a device, on CUDA beside the computation of earlier ones.

    Args:
        device: Where to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch on the device. The host does not wait for the copies of pinned tensors."""
        if self._stream is None:
            return self._copied(batch)
        with torch.cuda.stream(self._stream):
            copied = self._copied(batch)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in copied.values():
            tensor.record_stream(current)  # else its memory could be reused too early
        return copied

    def _copied(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(self._device, non_blocking=True) for key, value in batch.items()}


class Pace:
    """Keeps the host at most :data:`AHEAD` steps ahead of the device, and measures its idle time.

    The time that the host waits for a batch is lost only where the device has nothing to do
    meanwhile; on CUDA that is measured by events around each step.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._ends: deque[torch.cuda.Event] = deque()
        self._last: torch.cuda.Event | None = None
        self._gaps: list[tuple[torch.cuda.Event, torch.cuda.Event, float]] = []
        self._seconds = 0.0

    @contextmanager
    def step(self, waited: float) -> Iterator[None]:
        """Around the work of one step, for whose batch the host has waited ``waited`` seconds."""
        if not self._cuda:
            self._seconds += waited
            yield
            return
        if len(self._ends) >= AHEAD:
            self._ends.popleft().synchronize()
        begun = self._event()
        if self._last is None:
            self._seconds += waited
        else:
            self._gaps.append((self._last, begun, waited))
        yield
        self._last = self._event()
        self._ends.append(self._last)

    def idle(self) -> float:
        """Seconds since the last call that the device waited for data; all steps have ended."""
        gaps, self._gaps = self._gaps, []
        lost = (min(waited, end.elapsed_time(begun) / 1000) for end, begun, waited in gaps)
        seconds: float = self._seconds + sum(lost)
        self._seconds = 0.0
        return seconds

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


class Fetched:
    """Hands outputs on the device over to the host, several batches at a time.

    Args:
        device: Where the outputs are.
        write: Receives, for each batch, the indices of its samples and its outputs on the CPU.
    """

    def __init__(self, device: torch.device, write: Callable[[Tensor, Tensor], None]) -> None:
        self._device, self._write = device, write
        self._held: list[tuple[Tensor, Tensor]] = []

    def add(self, index: Tensor, outputs: Tensor) -> None:
        """Begin to copy the outputs of a batch.

        Args:
            index: Indices of its samples, on the CPU.
            outputs: Its outputs.
        """
        self._held.append((index, outputs.to("cpu", non_blocking=True)))
        size = sum(held.nbytes for _, held in self._held)
        if len(self._held) >= FETCHED_BATCHES or size >= FETCHED_BYTES:
            self.finish()

    def finish(self) -> None:
        """Wait for the copies, and write what has not been written."""
        wait_for(self._device)
        for index, outputs in self._held:
            self._write(index, outputs)
        self._held.clear()
