"""Check within two seconds whether a host is reachable. No torch."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from zoo.system.offline import is_refused

REACH_SECONDS = 2.0


def reachable(url: str) -> bool:
    """Whether the host of ``url`` (or the proxy in front of it) answers within two seconds.

    Always false inside :func:`zoo.system.offline.no_network`.
    """
    if is_refused():
        return False
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    answered = threading.Event()

    def knock() -> None:
        with contextlib.suppress(OSError, UnicodeError):  # a name that cannot be one, too
            socket.create_connection((parts.hostname or "", port), REACH_SECONDS).close()
            answered.set()

    knocking = threading.Thread(target=knock, daemon=True)  # a name look-up has no time limit
    knocking.start()
    knocking.join(REACH_SECONDS)
    return answered.is_set()


def hub_reachable() -> bool:
    """Whether the Hub answers, and ``HF_HUB_OFFLINE`` is not set."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)
