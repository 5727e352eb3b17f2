"""Ctrl-C, SIGTERM and a closed terminal while training: finish the step, save, stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([_HANGUP] if _HANGUP else []))
CLOSED_PIPE = int(getattr(signal, "SIGPIPE", signal.SIGTERM))
"""The signal recorded where the pipe behind the messages is closed, as after ``2>&1 | head``."""

_NOTICE = b"\nStopping after this step; press Ctrl-C again to quit now.\n"
_TOGETHER = 0.1  # seconds: programs such as ``timeout`` send two signals at once; people cannot


class Interrupts:
    """Records the first signal; a later one gets the handler that was there before.

    Signals within a tenth of a second of the first count as one with it.

    Args:
        announces: Whether to print a notice to standard error, as one of several processes does.

    Attributes:
        received: The signal's number, or ``None``.
    """

    def __init__(self, *, announces: bool = True) -> None:
        self.received: int | None = None
        self._announces = announces
        self._since = 0.0

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record signals while the block runs; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        if _HANGUP and before[_HANGUP] == signal.SIG_IGN:
            del before[_HANGUP]  # under nohup a run outlives its terminal

        # Kept in place until the end: Python loses a signal whose handler is just being replaced.
        def record(number: int, frame: FrameType | None) -> None:
            if self.received is None:
                self._since, self.received = time.monotonic(), number
                if self._announces:  # not by print, which the signal may have interrupted
                    with suppress(OSError):  # the terminal is closed
                        os.write(2, _NOTICE)
            elif time.monotonic() - self._since > _TOGETHER:
                _quit(number, frame, before[number])

        for number in before:
            signal.signal(number, record)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def elsewhere(self) -> None:
        """Record that another process has received a signal, which stops all of them."""
        if self.received is None:
            self._since, self.received = time.monotonic(), signal.SIGINT

    def pipe_closed(self) -> None:
        """Record that the reader of the output has gone, which counts as a signal to stop."""
        if self.received is None:
            self._since, self.received = time.monotonic(), CLOSED_PIPE


def _quit(number: int, frame: FrameType | None, handler: Any) -> None:
    """Do what ``handler`` would have done; quit on Ctrl-C even where it is ignored.

    A shell lets its background jobs ignore Ctrl-C; a second one is meant for this process.
    """
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    elif number == signal.SIGINT:
        signal.default_int_handler(number, frame)


class Interrupted(Exception):
    """Raised between two steps after a signal; :func:`zoo.engine.loop.fit` then saves its state."""
