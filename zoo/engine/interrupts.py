"""Ctrl-C and SIGTERM while training: finish the step, save, and say how to go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the first signal; the second does what it would have done without the zoo.

    Args:
        tells: Whether to say so on standard error, as one of several processes does.

    Attributes:
        received: The signal's number, or ``None``.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self.received: int | None = None
        self._tells = tells

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals while the block runs. Outside the main thread they cannot be, and are not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, _: FrameType | None) -> None:
            self.received = number
            for each, handler in before.items():
                signal.signal(each, _leaving(each, handler))
            if self._tells:  # not by print, which a signal may come in the middle of
                os.write(2, b"\nstopping when this step is saved; a second time leaves at once\n")

        for number in SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _leaving(number: int, handler: Any) -> Any:
    """What a second signal does; a shell lets its background jobs ignore Ctrl-C, and such a job's
    second one is no accident."""
    ignored = number == signal.SIGINT and handler == signal.SIG_IGN
    return signal.default_int_handler if ignored else handler


class Interrupted(Exception):
    """Raised between two steps after a signal; the fit saves its state and passes on an error."""
