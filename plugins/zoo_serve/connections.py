"""Connections that hold a place and ask for nothing: they end after a while, or make room."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""That a client may take to send the head of a request, from the first on."""

BACKLOG = 64
"""Connections that are taken at once; each has a file descriptor before anything can refuse it."""

_MOST, _LEAST = 1024, 8
_RESERVE = BACKLOG + 16  # file descriptors for what arrives at once, and for files


class Waiting:
    """The connections that wait for the head of a request, the longest first.

    Args:
        most: Connections at a time, these and those that are being answered.
    """

    def __init__(self, most: int) -> None:
        self.most, self.open = most, 0
        self._idle: dict[PatientProtocol, None] = {}

    def begin(self, one: PatientProtocol) -> None:
        """``one`` waits from now on."""
        self._idle[one] = None
        if self.open > self.most:
            next(iter(self._idle)).give_up()

    def end(self, one: PatientProtocol) -> None:
        """``one`` waits no longer."""
        self._idle.pop(one, None)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, with a limit on the time that a head takes and on connections."""

    def __init__(self, *arguments: Any, waiting: Waiting, seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting, self._seconds = waiting, seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and begin to wait for a head."""
        super().connection_made(transport)
        self._waiting.open += 1
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Hand on what has come; a head that is whole ends the wait, and a part begins one."""
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self._stop_waiting()
        elif self._timer is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no longer."""
        self._waiting.open -= 1
        self._stop_waiting()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """End a connection of which no whole head has come."""
        self._stop_waiting()
        self.transport.abort()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self._seconds, self.give_up)
        self._waiting.begin(self)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.end(self)


def patient(seconds: float = HEAD_SECONDS) -> Callable[..., PatientProtocol]:
    """What makes the protocol of a server's connections."""
    waiting = Waiting(room())

    def protocol(*arguments: Any, **options: Any) -> PatientProtocol:
        return PatientProtocol(*arguments, waiting=waiting, seconds=seconds, **options)

    return protocol


def room() -> int:
    """How many connections this process has file descriptors for."""
    with contextlib.suppress(ImportError, OSError):  # Windows has no such limit
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        used = len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
        if limit != resource.RLIM_INFINITY:
            return max(_LEAST, min(_MOST, limit - used - _RESERVE))
    return _MOST
