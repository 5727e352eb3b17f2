"""The time that is left, and work that stops when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class OutOfTime(Exception):
    """The time is over; what was being done has been left."""


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
    def watched(self) -> Iterator[None]:
        """While the block runs, every module of any network checks the time before it computes.

        A batch of a large network takes many seconds, and its modules a fraction of one each.
        """

        def check(_: nn.Module, __: Any) -> None:
            self.check()

        hook = nn.modules.module.register_module_forward_pre_hook(check)
        try:
            yield
        finally:
            hook.remove()
