"""How much a client may ask for, how often, and how many may wait."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_CLIENTS = 10_000  # that are remembered; the one that asked longest ago is forgotten first


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server takes on.

    Attributes:
        request_bytes: Of the body of one request.
        inputs: Images or texts of one request.
        text_length: Characters of one text.
        rate: Requests a second of one client, on average; 0 for any number.
        burst: Requests that a client may make at once before that counts.
        waiting: Requests that are prepared or computed at a time; more are turned away. One client
            may have three quarters of them.
        body_seconds: That a client may take to send a request.
        arriving: Requests whose bodies arrive at a time; of more, the longest under way gives way.
        arriving_bytes: That these hold together.
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
        """The requests of one client that are prepared or computed at a time."""
        return max(1, 3 * self.waiting // 4)


class Buckets:
    """A bucket of tokens for each client; a request takes one, and they flow back at ``rate``.

    Args:
        rate: Tokens a second; 0 for no limit.
        burst: Tokens of a full bucket.
        clock: Gives seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of ``client``: 0 if there was one, or the seconds until there will be."""
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
    """What counts as one client: an IPv4 address, or the /64 network that a user of IPv6 has."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))
