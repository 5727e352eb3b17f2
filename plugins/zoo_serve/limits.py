"""Limits on requests: size, rate per client, and queue length."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_CLIENTS = 10_000  # kept in memory; the least recently seen is dropped first


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server.

    Attributes:
        request_bytes: Maximum size of a request body.
        inputs: Maximum images or texts per request.
        text_length: Maximum characters per text.
        rate: Average requests per second and client; 0 for no limit.
        burst: Requests a client may send at once before ``rate`` applies.
        waiting: Maximum requests being preprocessed or computed; further ones get a 503. One client
            may hold three quarters of them.
        body_seconds: Maximum time for a request body to arrive, in seconds.
        arriving: Maximum uploads in progress; beyond that the oldest one is dropped.
        arriving_bytes: Maximum bytes held by all uploads in progress.
    """

    request_bytes: int = 16 * 2**20
    inputs: int = 32
    text_length: int = 100_000
    rate: float = 50
    burst: int = 100
    waiting: int = 64
    body_seconds: float = 30
    arriving: int = 64
    arriving_bytes: int = 256 * 2**20

    @property
    def share(self) -> int:
        """Maximum requests of one client being preprocessed or computed."""
        return max(1, 3 * self.waiting // 4)


class RateLimiter:
    """A token bucket per client: a request takes one token; tokens are refilled at ``rate``.

    Args:
        rate: Tokens per second; 0 for no limit.
        burst: Capacity of a bucket.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of ``client``; return 0, or the seconds until one is available."""
        if not self._rate:
            return 0.0
        client, now = network_of(client), self._clock()
        tokens, then = self._left.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._left[client] = (tokens if wait else tokens - 1, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return wait


def network_of(client: str) -> str:
    """Return the key of a client: its IPv4 address, or its IPv6 /64 network."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))
