"""Block network access while local folders are loaded."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

_EVENTS = frozenset(
    {
        *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
        *("socket.sendto", "socket.sendmsg"),
    }
)

_asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)


class NetworkRefused(RuntimeError):
    """Raised by connections inside the block; not an ``OSError``, on which libraries retry."""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Block connections and DNS look-ups of this thread inside the block.

    Unix sockets are allowed. Any attempt, by any library, raises :class:`NetworkRefused` through
    Python's audit events.

    Yields:
        The hosts of the attempts, in order, complete when the block has ended.
    """
    _watch()
    hosts: list[str] = []
    token = _asked.set(hosts)
    try:
        yield hosts
    finally:
        _asked.reset(token)


def is_refused() -> bool:
    """Whether this thread is inside such a block."""
    return _asked.get() is not None


@cache  # an audit hook stays for the life of the process
def _watch() -> None:
    sys.addaudithook(_audit)


def _audit(
    event: str, arguments: tuple[Any, ...], events: frozenset[str] = _EVENTS
) -> None:  # its default outlives the module's names when Python ends
    if event not in events:
        return
    hosts = _asked.get()
    if hosts is None:
        return
    of_socket = isinstance(arguments[0], socket.socket)
    if of_socket and arguments[0].family == getattr(socket, "AF_UNIX", None):
        return
    address = arguments[1] if of_socket else arguments[0]
    host = address[0] if isinstance(address, tuple) else address
    hosts.append(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))
    raise NetworkRefused(f"connections to {hosts[-1]} are blocked while a local folder is loaded")
