"""Request bodies being received: in memory, bounded, and fair between clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from starlette.types import Message, Receive

from zoo_serve.http_errors import RequestError
from zoo_serve.limits import Limits


@dataclass(eq=False)
class _Upload:
    client: str
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    time: asyncio.Timeout | None = None
    dropped: bool = False


class Uploads:
    """Receive request bodies; when there are too many at once, drop the oldest.

    It is taken from the client with the most uploads, so a client that sends many slow requests
    cannot block the others.

    Args:
        limits: Limits on size, time and number.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._active: list[_Upload] = []

    def __len__(self) -> int:
        """Number of uploads in progress."""
        return len(self._active)

    async def read(self, receive: Receive, client: str) -> bytes:
        """Read the body of a request.

        Raises:
            RequestError: The body is too large or too slow, or was dropped in favour of others.
        """
        upload = _Upload(client)
        self._active.append(upload)
        try:
            async with asyncio.timeout(self._limits.body_seconds) as upload.time:
                self._make_room()
                while await self._more(receive, upload):
                    self._make_room()
        except TimeoutError:
            raise self._too_slow(upload.size) from None
        finally:
            self._active.remove(upload)
        return b"".join(upload.chunks)

    async def _more(self, receive: Receive, upload: _Upload) -> bool:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise self._too_slow(upload.size)
        upload.chunks.append(message.get("body", b""))
        upload.size += len(upload.chunks[-1])
        if upload.size > self._limits.request_bytes:
            raise too_large(upload.size, self._limits)
        return bool(message.get("more_body", False))

    def _make_room(self) -> None:
        kept = [each for each in self._active if not each.dropped]
        too_many = len(kept) > self._limits.arriving
        max_bytes = max(self._limits.arriving_bytes, 2 * self._limits.request_bytes)
        if not too_many and sum(each.size for each in kept) <= max_bytes:
            return
        weights: Counter[str] = Counter()
        for each in kept:
            weights[each.client] += 1 if too_many else each.size
        busiest = weights.most_common(1)[0][0]
        oldest = next(each for each in kept if each.client == busiest)
        oldest.dropped = True
        if oldest.time is not None and not oldest.time.expired():
            oldest.time.reschedule(asyncio.get_running_loop().time())

    def _too_slow(self, size: int) -> RequestError:
        return RequestError(
            408,
            "the request took too long to arrive",
            given=f"{size:,} bytes",
            expected=f"the whole body within {self._limits.body_seconds:g} seconds, or sooner under load",
        )


def too_large(size: int, limits: Limits) -> RequestError:
    """Return the error for a body of at least ``size`` bytes."""
    return RequestError(
        413,
        "the request is too large",
        given=f"{size:,} bytes",
        expected=f"at most {limits.request_bytes:,} bytes in one request",
    )
