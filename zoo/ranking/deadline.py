"""The time that is left, and work that stops when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from zoo.system.tensors.hooks import hooked


class OutOfTime(BaseException):
    """The time is over; what was being done has been left.

    Like ``KeyboardInterrupt`` it is no ``Exception``, so that nobody takes it for his own fault.
    """


class Deadline:
    """When to stop.

    Args:
        seconds: How many there are; ``None`` for no limit.
        reserve: Seconds before the end that are kept for telling the results.
        started: From when they count, by ``time.monotonic()``; from now on by default.
    """

    def __init__(
        self, seconds: float | None, *, reserve: float = 0.0, started: float | None = None
    ) -> None:
        self._started = time.monotonic() if started is None else started
        self._end = math.inf if seconds is None else self._started + seconds - reserve

    @property
    def passed(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds until work stops, perhaps infinite; 0 where that is over."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise :class:`OutOfTime` if no time is left."""
        if not self.left:
            raise OutOfTime

    @contextmanager
    def watched(self, network: nn.Module) -> Iterator[None]:
        """While the block runs, every module of the network checks the time before it computes.

        A batch takes a large network many seconds, and each of its modules a fraction of one.
        """

        def check(_: nn.Module, __: Any) -> None:
            self.check()

        with hooked(network.modules(), before=check):
            yield
