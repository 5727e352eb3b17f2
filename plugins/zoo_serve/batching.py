"""Inputs that arrive at about the same time share one forward pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Computed:
    """What came of one input.

    Attributes:
        outputs: Its row, ``(outputs,)``.
        seconds: That the forward pass took, for all inputs of the batch together.
        batch: How many inputs those were.
        number: Of the batch, counted from 1.
    """

    outputs: Row
    seconds: float
    batch: int
    number: int


class Batcher(Generic[T]):
    """A queue, and one thread that takes from it what has arrived.

    Args:
        compute: From inputs to their rows, ``(len(inputs), outputs)``; called in that thread alone.
        most: Inputs a batch.
        wait: Seconds that a first input waits for others.
    """

    def __init__(
        self, compute: Callable[[Sequence[T]], Row], *, most: int = 32, wait: float = 0.003
    ) -> None:
        self._compute, self._most, self._wait = compute, most, wait
        self._queue: SimpleQueue[tuple[T, Future[Computed]] | None] = SimpleQueue()
        self._lock, self._closed, self._batches = threading.Lock(), False, 0
        self._thread = threading.Thread(target=self._work, name="zoo-serve-batches", daemon=True)
        self._thread.start()

    def submit(self, item: T) -> Future[Computed]:
        """Have one input computed.

        Raises:
            RuntimeError: The batcher is closed.
        """
        future: Future[Computed] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._queue.put((item, future))
        return future

    def close(self) -> None:
        """Compute what is waiting, and end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        open_still = True
        while open_still:
            batch, open_still = self._gather()
            if batch:
                self._answer(batch)

    def _gather(self) -> tuple[list[tuple[T, Future[Computed]]], bool]:
        """What the next batch holds, and whether more may come after it."""
        batch: list[tuple[T, Future[Computed]]] = []
        until = None
        while len(batch) < self._most:
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                found = self._queue.get(timeout=left)
            except Empty:
                break
            if found is None:
                return batch, False
            batch.append(found)
            until = until or time.monotonic() + self._wait
        return batch, True

    def _answer(self, batch: Sequence[tuple[T, Future[Computed]]]) -> None:
        self._batches += 1
        start = time.perf_counter()
        try:
            rows = self._compute([item for item, _ in batch])
        except Exception as error:  # it belongs to those who asked, and the thread goes on
            for _, future in batch:
                future.set_exception(error)
            return
        seconds = time.perf_counter() - start
        for (_, future), row in zip(batch, rows, strict=True):
            future.set_result(Computed(row, seconds, len(batch), self._batches))
