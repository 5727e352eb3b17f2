"""Idle connections: closed after a timeout, or when others need the room."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Timeout for a request head to arrive, in seconds."""

BACKLOG = 64
"""Connections accepted at once; each holds a file descriptor before it can be rejected."""

_MAX_CONNECTIONS, _MIN_CONNECTIONS = 1024, 8
_RESERVE = BACKLOG + 16  # file descriptors for the backlog and for files


class IdleConnections:
    """Connections waiting for a request head, the oldest first.

    Args:
        limit: Maximum open connections, idle or not.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.open = limit, 0
        self._idle: dict[TimeoutProtocol, None] = {}

    def begin(self, connection: TimeoutProtocol) -> None:
        """Add a connection; close the oldest if there are too many."""
        self._idle[connection] = None
        if self.open > self.limit:
            next(iter(self._idle)).give_up()

    def end(self, connection: TimeoutProtocol) -> None:
        """Remove a connection."""
        self._idle.pop(connection, None)


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol with a timeout for request heads and a limit on connections."""

    def __init__(
        self, *arguments: Any, idle: IdleConnections, seconds: float, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._idle, self._seconds = idle, seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection and start the timeout."""
        super().connection_made(transport)
        self._idle.open += 1
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Pass the data on; a complete head stops the timeout, a partial one starts it."""
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self._stop_waiting()
        elif self._timer is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        """Start the timeout for the next head."""
        super().on_response_complete()
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._idle.open -= 1
        self._stop_waiting()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close a connection that has not sent a complete head."""
        self._stop_waiting()
        self.transport.abort()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self._seconds, self.give_up)
        self._idle.begin(self)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.end(self)


def protocol_factory(seconds: float = HEAD_SECONDS) -> Callable[..., TimeoutProtocol]:
    """Return a factory for the protocol of a server's connections."""
    idle = IdleConnections(max_connections())

    def protocol(*arguments: Any, **options: Any) -> TimeoutProtocol:
        return TimeoutProtocol(*arguments, idle=idle, seconds=seconds, **options)

    return protocol


def max_connections() -> int:
    """Return the number of connections this process has file descriptors for."""
    with contextlib.suppress(ImportError, OSError):  # Windows has no such limit
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        used = len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
        if limit != resource.RLIM_INFINITY:
            return max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, limit - used - _RESERVE))
    return _MAX_CONNECTIONS
