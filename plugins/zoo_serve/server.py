"""The process around the application: its socket, its signals, its end."""

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
from zoo_serve.connections import BACKLOG, HEAD_SECONDS, patient

_GRACE = 30  # seconds that requests in flight have at the end


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        zoo.UsageError: The host is none of this machine's, or the port is taken or not allowed.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise zoo.UsageError(
                f"port {port} of {host} is taken", hint="Give another: --port 0 finds a free one."
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise zoo.UsageError(
            f"there is no listening on {host} port {port}: {reason}",
            hint="Give an address of this machine with --host, and a port from 1024 to 65535.",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(app: ASGIApp, listening: socket.socket, *, head_seconds: float = HEAD_SECONDS) -> None:
    """Answer until SIGINT or SIGTERM; requests that are in flight then are still answered.

    A second Ctrl-C leaves at once.

    Args:
        app: From :func:`zoo_serve.create_app`.
        listening: From :func:`open_socket`.
        head_seconds: That a client may take to send the head of a request.
    """
    config = uvicorn.Config(
        app,
        http=patient(head_seconds),  # type: ignore[arg-type] # it is called as a class is
        backlog=BACKLOG,
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # a client may not say who it is
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's, which raises the signal once more at its end; here the end is the whole wish."""

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
