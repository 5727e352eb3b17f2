"""Ctrl-C, SIGTERM and a lost terminal while training: finish the step, save, say how to go on."""

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
GONE = int(getattr(signal, "SIGPIPE", signal.SIGTERM))
"""What stands for a reader of the messages that has gone, as after ``2>&1 | head``."""

_NOTICE = b"\nstopping when this step is saved; a second time leaves at once\n"
_TOGETHER = 0.1  # seconds: programs send two signals at once, as ``timeout`` does; people cannot


class Interrupts:
    """Notes the first signal; a later one does what it would have done without the zoo.

    Those that come together with the first, whichever they are, are one wish with it.

    Args:
        tells: Whether to say so on standard error, as one of several processes does.

    Attributes:
        received: The signal's number, or ``None``.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self.received: int | None = None
        self._tells = tells
        self._since = 0.0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals while the block runs. Outside the main thread they cannot be, and are not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        if _HANGUP and before[_HANGUP] == signal.SIG_IGN:
            del before[_HANGUP]  # under nohup a run outlives its terminal

        # It stays in place: Python loses a signal whose handler another one's has just taken away.
        def note(number: int, frame: FrameType | None) -> None:
            if self.received is None:
                self._since, self.received = time.monotonic(), number
                if self._tells:  # not by print, which a signal may come in the middle of
                    with suppress(OSError):  # the terminal has gone
                        os.write(2, _NOTICE)
            elif time.monotonic() - self._since > _TOGETHER:
                _leave(number, frame, before[number])

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def reader_gone(self) -> None:
        """Note that nobody reads what is said any more, which counts as a signal to stop."""
        if self.received is None:
            self._since, self.received = time.monotonic(), GONE


def _leave(number: int, frame: FrameType | None, handler: Any) -> None:
    """Do as ``handler``, which the signal would have had; a shell lets its background jobs ignore
    Ctrl-C, and such a job's second one is no accident."""
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    elif number == signal.SIGINT:
        signal.default_int_handler(number, frame)


class Interrupted(Exception):
    """Raised between two steps after a signal; the fit saves its state and passes on an error."""
