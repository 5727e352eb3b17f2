"""Run the application with uvicorn: socket, signals, shutdown."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

import zoo
from zoo_serve.connections import BACKLOG, HEAD_SECONDS, protocol_factory

_GRACE = 30  # seconds for requests in progress at shutdown


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free port.

    Raises:
        zoo.UsageError: The host is not an address of this machine, or the port is in use or not allowed.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise zoo.UsageError(
                f"port {port} on {host} is already in use",
                hint="Use another port; --port 0 picks a free one.",
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise zoo.UsageError(
            f"failed to listen on {host} port {port}: {reason}",
            hint="--host must be an address of this machine, --port 0 or 1024 to 65535.",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether ``host`` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(app: ASGIApp, listening: socket.socket, *, head_seconds: float = HEAD_SECONDS) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are still answered.

    A second Ctrl-C quits at once.

    Args:
        app: From :func:`zoo_serve.create_app`.
        listening: From :func:`open_socket`.
        head_seconds: Timeout for a request head to arrive, in seconds.
    """
    config = uvicorn.Config(
        app,
        http=protocol_factory(head_seconds),  # type: ignore[arg-type] # called like a class
        backlog=BACKLOG,
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # do not trust X-Forwarded-For
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's server, without raising the signal again after shutdown."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
