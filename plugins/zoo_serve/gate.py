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
from collections import Counter
from collections.abc import Collection, Iterator
from email.message import Message as Header
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo_serve.arrivals import Arrivals, too_large
from zoo_serve.limits import Buckets, Limits, network_of
from zoo_serve.refusals import Refusal

PREDICT = "/predict"
"""The path whose requests bring a body."""

COSTLY = (PREDICT, "/mistakes/")
"""The beginnings of paths whose requests are counted and limited."""

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
        inside: Requests that are prepared or computed now.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, names: Collection[str], body_type: str
    ) -> None:
        self.inside = 0
        self._app, self._limits, self._body_type = app, limits, body_type
        self._names = {name.lower() for name in names} | {"localhost"}
        self._buckets = Buckets(limits.rate, limits.burst)
        self._arrivals = Arrivals(limits)
        self._of_client: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Requests that arrive, are prepared or computed now."""
        return len(self._arrivals) + self.inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check_where_from(Headers(scope=scope))
            if scope["path"].startswith(COSTLY):
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
        foreign = origin is not None and _place_of(origin) != host.lower()
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise Refusal(
                403,
                "pages of other sites may not use this server",
                given=f"Origin: {origin}",
                expected="its own page, or a program that is no browser",
            )

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = network_of(scope["client"][0] if scope.get("client") else "")
        if wait := self._buckets.take(client):
            raise Refusal(
                429,
                "too many requests",
                given=f"more than {self._limits.burst} requests at once",
                expected=f"at most {self._limits.rate:g} a second from one client",
                headers={"retry-after": str(math.ceil(wait))},
            )
        if scope["path"] == PREDICT and scope["method"] == "POST":
            self._demand_room(client)
            headers = Headers(scope=scope)
            self._check_type(headers.get("content-type", ""))
            self._check_length(headers.get("content-length", ""))
            receive = _replayed(await self._arrivals.read(receive, client), receive)
        with self._place(client):
            await self._app(scope, receive, send)

    @contextlib.contextmanager
    def _place(self, client: str) -> Iterator[None]:
        self._demand_room(client)
        self.inside += 1
        self._of_client[client] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._of_client[client] -= 1
            self._of_client += Counter()  # forgets those with none

    def _demand_room(self, client: str) -> None:
        own = self._of_client[client]
        if self.inside < self._limits.waiting and own < self._limits.share:
            return
        raise Refusal(
            503,
            "the server is busy",
            given=f"{self.inside} requests are waiting already, {own} of them from this client",
            expected=f"at most {self._limits.waiting} at a time, {self._limits.share} from one "
            "client; try again in a second",
            headers={"retry-after": "1"},
        )

    def _check_type(self, given: str) -> None:
        header = Header()
        header["content-type"] = given[:1000]
        charset = str(header.get_param("charset", "utf-8")).lower()
        if header.get_content_type() != self._body_type or charset not in ("utf-8", "utf8"):
            raise Refusal(
                415,
                "this run does not take a body of that type",
                given=f"Content-Type: {given[:120] or 'none'}",
                expected=f"{self._body_type}, in UTF-8",
            )

    def _check_length(self, length: str) -> None:
        if length.isdecimal() and int(length[:20]) > self._limits.request_bytes:
            raise too_large(int(length[:20]), self._limits)

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


def _place_of(origin: str) -> str:
    """Name and port in an ``Origin`` header; nothing of one that is not valid."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` that gives a body which has been read, and then what else comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


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
