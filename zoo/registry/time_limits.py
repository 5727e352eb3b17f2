"""Time limits for plugin code, so that a plugin that hangs is named."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType

SECONDS = 30.0
"""Time for the import of a plugin, and for each of its hooks."""

_OTHERS: Mapping[str, float | None] = {"zoo_sync": None, "zoo_resolve": 300.0}
"""Hooks that may compute for minutes, or use the network."""


class TimeLimitReached(BaseException):
    """Raised in code that takes too long; not an Exception, which a plugin may catch.

    Args:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer after {seconds:g} s")


def seconds_for(what: str) -> float | None:
    """Return the limit of a hook, or of another part of a plugin; ``None`` for no limit."""
    return _OTHERS.get(what, SECONDS) if what.startswith(("zoo_", "its import")) else None


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Interrupt the block after some time.

    There is no limit within a block that has one, outside the main thread, and on Windows, which
    has no timer signal.

    Raises:
        TimeLimitReached: The time is over.
    """
    if seconds is None or not _can_limit():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeLimitReached(seconds)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _can_limit() -> bool:
    if not hasattr(signal, "setitimer"):
        return False
    main = threading.current_thread() is threading.main_thread()
    return main and not signal.getitimer(signal.ITIMER_REAL)[0]
