"""What every request passes first: where it comes from, how often, how large, and is there room.

Browsers send requests for any page that they have open. A page of another site may not use the
server, neither by its address (``Origin``, ``Sec-Fetch-Site``) nor by a name of its own that it
lets lead here (DNS rebinding; then ``Host`` is that name).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.serve.limits import Buckets, Limits
from zoo.serve.refusals import Refusal

COSTLY = "/predict"
"""The path whose requests are counted and limited."""

_DRAINED = 8  # times the largest request that is read and dropped, so that a client sees the answer

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Gate:
    """An ASGI application around another; see the module.

    Args:
        app: What answers the requests that pass.
        limits: How much, how often, how many.
        names: Host names under which the server may be asked for, besides addresses and
            ``localhost``.
        body_type: The ``Content-Type`` that a prediction takes.

    Attributes:
        inside: Predictions that are read, prepared or computed now.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, names: Collection[str], body_type: str
    ) -> None:
        self.inside = 0
        self._app, self._limits, self._body_type = app, limits, body_type
        self._names = {name.lower() for name in names} | {"localhost"}
        self._buckets = Buckets(limits.rate, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check_where_from(Headers(scope=scope))
            if scope["path"] == COSTLY and scope["method"] == "POST":
                await self._limited(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except Refusal as refusal:
            await self._drain(receive)
            await refusal.response()(scope, receive, send)

    def _check_where_from(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _name_of(host)
        if not (_is_address(name) or name in self._names):
            raise Refusal(
                400,
                "this server is not asked for by that name",
                given=f"Host: {host}",
                expected=f"an address, {', '.join(sorted(self._names))}, or a name that was "
                "given with --allow-host",
            )
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise Refusal(
                403,
                "pages of other sites may not use this server",
                given=f"Origin: {origin}",
                expected="its own page, or a program that is no browser",
            )

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"][0] if scope.get("client") else ""
        if wait := self._buckets.take(client):
            raise Refusal(
                429,
                "too many requests",
                given=f"more than {self._limits.burst} requests at once",
                expected=f"at most {self._limits.rate:g} a second from one client",
                headers={"retry-after": str(math.ceil(wait))},
            )
        if self.inside >= self._limits.waiting:
            raise Refusal(
                503,
                "the server is busy",
                given=f"{self.inside} requests are waiting already",
                expected=f"at most {self._limits.waiting} at a time; try again in a second",
                headers={"retry-after": "1"},
            )
        headers = Headers(scope=scope)
        self._check_type(headers.get("content-type", ""))
        self._check_length(headers.get("content-length", ""))
        self.inside += 1
        try:
            await self._app(scope, self._measured(receive), send)
        finally:
            self.inside -= 1

    def _check_type(self, given: str) -> None:
        if given.partition(";")[0].strip().lower() != self._body_type:
            raise Refusal(
                415,
                "this run does not take a body of that type",
                given=f"Content-Type: {given or 'none'}",
                expected=self._body_type,
            )

    def _check_length(self, length: str) -> None:
        if length.isdecimal() and int(length) > self._limits.request_bytes:
            raise self._too_large(int(length))

    def _too_large(self, size: int) -> Refusal:
        return Refusal(
            413,
            "the request is too large",
            given=f"{size:,} bytes",
            expected=f"at most {self._limits.request_bytes:,} bytes in one request",
        )

    def _measured(self, receive: Receive) -> Receive:
        """``receive`` that refuses a body which is too large, or takes too long to arrive."""
        size, arrived = 0, False
        until = time.monotonic() + self._limits.body_seconds

        async def measured() -> Message:
            nonlocal size, arrived
            try:
                async with asyncio.timeout(None if arrived else until - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow(size) from None
            size += len(message.get("body", b""))
            arrived = not message.get("more_body", False)
            if size > self._limits.request_bytes:
                await self._drain(receive)
                raise self._too_large(size)
            return message

        return measured

    def _too_slow(self, size: int) -> Refusal:
        return Refusal(
            408,
            "the request took too long to arrive",
            given=f"{size:,} bytes in {self._limits.body_seconds:g} seconds",
            expected="all of it in that time",
        )

    async def _drain(self, receive: Receive) -> None:
        """Read what the client still sends: one that is cut off cannot read the answer either."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while size < _DRAINED * self._limits.request_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def _name_of(host: str) -> str:
    """The name or address in a ``Host`` header, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
