"""Work that reaches no network: what a folder names is looked for here, and nobody is asked for it."""

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
    """What a connection inside the block raises; no ``OSError``, on which libraries try again."""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse every connection and look-up of a name that this thread tries inside the block.

    Sockets between processes of this machine are allowed. Whatever library tries, by whatever
    client, ends in :class:`NetworkRefused`; Python's own audit events see to that.

    Yields:
        The hosts that were asked for, in order; to be read when the block has ended.
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


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
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
    raise NetworkRefused(f"{hosts[-1]} may not be asked while a folder is read")
