"""Checks before any request is handled: origin, rate, size and free capacity.

Browsers send requests on behalf of any open page. Pages of other sites are rejected, both by
address (``Origin``, ``Sec-Fetch-Site``) and by DNS rebinding (``Host`` is then a foreign name).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections import Counter
from collections.abc import Collection, Iterator
from email.message import Message as Header
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from zoo_serve.http_errors import RequestError
from zoo_serve.limits import Limits, RateLimiter, network_of
from zoo_serve.uploads import Uploads, too_large

PREDICT = "/predict"
"""The path whose requests have a body."""

COSTLY = (PREDICT, "/mistakes/")
"""Prefixes of the paths that are rate-limited."""

_DRAINED = 8  # times the maximum request size, read and discarded so the client sees the error

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


class Middleware:
    """ASGI middleware; see the module.

    Args:
        app: The application behind it.
        limits: Limits on size, rate and number.
        names: Accepted host names, besides IP addresses and ``localhost``.
        body_type: ``Content-Type`` of prediction requests.

    Attributes:
        app: The application behind it.
        inside: Requests being preprocessed or computed.
    """

    def __init__(
        self, app: FastAPI, *, limits: Limits, names: Collection[str], body_type: str
    ) -> None:
        self.inside = 0
        self.app, self._limits, self._body_type = app, limits, body_type
        self._names = {name.lower() for name in names} | {"localhost"}
        self._rate_limiter = RateLimiter(limits.rate, limits.burst)
        self._uploads = Uploads(limits)
        self._of_client: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Requests being received, preprocessed or computed."""
        return len(self._uploads) + self.inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check_origin(Headers(scope=scope))
            if scope["path"].startswith(COSTLY):
                await self._limited(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        except RequestError as error:
            await self._drain(receive)
            await error.response()(scope, receive, send)

    def _check_origin(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _hostname(host)
        if not (_is_address(name) or name in self._names):
            raise RequestError(
                400,
                "unknown host name",
                given=f"Host: {host}",
                expected=f"an IP address, {', '.join(sorted(self._names))}, or a name passed with "
                "--allow-host",
            )
        origin = headers.get("origin")
        foreign = origin is not None and _netloc(origin) != host.lower()
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise RequestError(
                403,
                "cross-site requests are not allowed",
                given=f"Origin: {origin}",
                expected="a request from the server's own page, or from a client that is not a browser",
            )

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = network_of(scope["client"][0] if scope.get("client") else "")
        if wait := self._rate_limiter.take(client):
            raise RequestError(
                429,
                "too many requests",
                given=f"more than {self._limits.burst} requests at once",
                expected=f"at most {self._limits.rate:g} per second and client",
                headers={"retry-after": str(math.ceil(wait))},
            )
        if scope["path"] == PREDICT and scope["method"] == "POST":
            self._check_capacity(client)
            headers = Headers(scope=scope)
            self._check_type(headers.get("content-type", ""))
            self._check_length(headers.get("content-length", ""))
            receive = _replayed(await self._uploads.read(receive, client), receive)
        with self._slot(client):
            await self.app(scope, receive, send)

    @contextlib.contextmanager
    def _slot(self, client: str) -> Iterator[None]:
        self._check_capacity(client)
        self.inside += 1
        self._of_client[client] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._of_client[client] -= 1
            self._of_client += Counter()  # drops zero counts

    def _check_capacity(self, client: str) -> None:
        of_client = self._of_client[client]
        if self.inside < self._limits.waiting and of_client < self._limits.share:
            return
        raise RequestError(
            503,
            "the server is busy",
            given=f"{self.inside} requests in progress, {of_client} of them from this client",
            expected=f"at most {self._limits.waiting} at a time, {self._limits.share} per client; "
            "retry in a second",
            headers={"retry-after": "1"},
        )

    def _check_type(self, given: str) -> None:
        header = Header()
        header["content-type"] = given[:1000]
        charset = str(header.get_param("charset", "utf-8")).lower()
        if header.get_content_type() != self._body_type or charset not in ("utf-8", "utf8"):
            raise RequestError(
                415,
                "unsupported content type",
                given=f"Content-Type: {given[:120] or 'none'}",
                expected=f"{self._body_type}, encoded as UTF-8",
            )

    def _check_length(self, length: str) -> None:
        if length.isdecimal() and int(length[:20]) > self._limits.request_bytes:
            raise too_large(int(length[:20]), self._limits)

    async def _drain(self, receive: Receive) -> None:
        """Read the rest of the body: a client that is cut off would not see the error."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while size < _DRAINED * self._limits.request_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers


def _netloc(origin: str) -> str:
    """Return host and port of an ``Origin`` header; empty if it is not valid."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that replays a body already read."""
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _hostname(host: str) -> str:
    """Return the name or address in a ``Host`` header, without port and brackets."""
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
