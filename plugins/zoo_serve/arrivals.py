"""The bodies of requests while they arrive: in memory, bounded, and none keeps others out."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from starlette.types import Message, Receive

from zoo_serve.limits import Limits
from zoo_serve.refusals import Refusal


@dataclass(eq=False)
class _Arriving:
    client: str
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    time: asyncio.Timeout | None = None
    gives_way: bool = False


class Arrivals:
    """Reads bodies. Where too many arrive at once, the one that began longest ago gives way.

    It is one of the client that has most of them, so that a client who sends slowly, and often,
    keeps nobody else out, and one who sends at once is read whoever else is there.

    Args:
        limits: How large, how long, how many.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._now: list[_Arriving] = []

    def __len__(self) -> int:
        """How many arrive now."""
        return len(self._now)

    async def read(self, receive: Receive, client: str) -> bytes:
        """The body of a request.

        Raises:
            Refusal: It is too large, takes too long, or gave way to others.
        """
        one = _Arriving(client)
        self._now.append(one)
        try:
            async with asyncio.timeout(self._limits.body_seconds) as one.time:
                self._make_room()
                while await self._more(receive, one):
                    self._make_room()
        except TimeoutError:
            raise self._too_slow(one.size) from None
        finally:
            self._now.remove(one)
        return b"".join(one.chunks)

    async def _more(self, receive: Receive, one: _Arriving) -> bool:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise self._too_slow(one.size)
        one.chunks.append(message.get("body", b""))
        one.size += len(one.chunks[-1])
        if one.size > self._limits.request_bytes:
            raise too_large(one.size, self._limits)
        return bool(message.get("more_body", False))

    def _make_room(self) -> None:
        staying = [one for one in self._now if not one.gives_way]
        many = len(staying) > self._limits.arriving
        most_bytes = max(self._limits.arriving_bytes, 2 * self._limits.request_bytes)
        if not many and sum(one.size for one in staying) <= most_bytes:
            return
        weights: Counter[str] = Counter()
        for one in staying:
            weights[one.client] += 1 if many else one.size
        most = weights.most_common(1)[0][0]
        longest = next(one for one in staying if one.client == most)
        longest.gives_way = True
        if longest.time is not None and not longest.time.expired():
            longest.time.reschedule(asyncio.get_running_loop().time())

    def _too_slow(self, size: int) -> Refusal:
        return Refusal(
            408,
            "the request took too long to arrive",
            given=f"{size:,} bytes",
            expected=f"all of it in {self._limits.body_seconds:g} seconds, or sooner where many "
            "arrive at once",
        )


def too_large(size: int, limits: Limits) -> Refusal:
    """The refusal of a body of ``size`` bytes or more."""
    return Refusal(
        413,
        "the request is too large",
        given=f"{size:,} bytes",
        expected=f"at most {limits.request_bytes:,} bytes in one request",
    )
