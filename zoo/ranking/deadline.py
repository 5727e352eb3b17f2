"""A time limit, and work that stops at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from zoo.system.tensors.hooks import hooked


class OutOfTime(BaseException):
    """The time limit was reached; the current step was abandoned.

    A ``BaseException``, like ``KeyboardInterrupt``, so that no handler of errors catches it.
    """


class Deadline:
    """When to stop.

    Args:
        seconds: Time limit; ``None`` for none.
        reserve: Seconds of it that are kept for printing the results.
        started: Start of the limit, by ``time.monotonic()``; now by default.
    """

    def __init__(
        self, seconds: float | None, *, reserve: float = 0.0, started: float | None = None
    ) -> None:
        self._started = time.monotonic() if started is None else started
        self._end = math.inf if seconds is None else self._started + seconds - reserve

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds until work stops, possibly infinite; 0 after that."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise :class:`OutOfTime` if no time is left."""
        if not self.left:
            raise OutOfTime

    @contextmanager
    def watched(self, network: nn.Module) -> Iterator[None]:
        """While the block runs, every module checks the time before its forward pass.

        A batch takes a large network many seconds, each of its modules a fraction of one.
        """

        def check(_: nn.Module, __: Any) -> None:
            self.check()

        with hooked(network.modules(), before=check):
            yield
