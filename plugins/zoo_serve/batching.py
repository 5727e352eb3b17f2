"""Dynamic batching: inputs that arrive at about the same time share a forward pass."""

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
    """The result for one input.

    Attributes:
        outputs: Its row of outputs, ``(outputs,)``.
        seconds: Duration of the forward pass of the whole batch.
        batch: Number of inputs in that batch.
        number: Index of the batch, from 1.
    """

    outputs: Row
    seconds: float
    batch: int
    number: int


class Batcher(Generic[T]):
    """A queue and one thread that computes its items in batches.

    Args:
        compute: Maps inputs to rows, ``(len(inputs), outputs)``; called only in that thread.
        max_batch: Maximum inputs per batch.
        wait: Seconds the first input of a batch waits for others.
    """

    def __init__(
        self, compute: Callable[[Sequence[T]], Row], *, max_batch: int = 32, wait: float = 0.003
    ) -> None:
        self._compute, self._max_batch, self._wait = compute, max_batch, wait
        self._queue: SimpleQueue[tuple[T, Future[Computed]] | None] = SimpleQueue()
        self._lock, self._closed, self._batches = threading.Lock(), False, 0
        self._thread = threading.Thread(target=self._work, name="zoo-serve-batches", daemon=True)
        self._thread.start()

    def submit(self, item: T) -> Future[Computed]:
        """Queue one input.

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
        """Compute what is queued, and stop the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        running = True
        while running:
            batch, running = self._gather()
            if batch:
                self._answer(batch)

    def _gather(self) -> tuple[list[tuple[T, Future[Computed]]], bool]:
        """Collect the next batch; also return whether more may follow."""
        batch: list[tuple[T, Future[Computed]]] = []
        until = None
        while len(batch) < self._max_batch:
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
        except Exception as error:  # passed to the callers; the thread keeps running
            for _, future in batch:
                future.set_exception(error)
            return
        seconds = time.perf_counter() - start
        for (_, future), row in zip(batch, rows, strict=True):
            future.set_result(Computed(row, seconds, len(batch), self._batches))
