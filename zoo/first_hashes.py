"""The sha256 that the file of a web address had when it first came to this machine. No torch."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from zoo.files import write_text
from zoo.places import cache_folder


def record_of(url: str) -> Path:
    """The file, in the zoo's own cache, in which the hash is or would be recorded."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "first-hashes" / f"{Path(urlsplit(url).path).name}-{digest}.json"


def first_hash(url: str) -> str:
    """All 64 digits, or the empty string where nothing has been recorded."""
    try:
        record = json.loads(record_of(url).read_text(encoding="utf-8"))
        return str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def remember(url: str, sha256: str) -> None:
    """Record ``sha256`` (64 digits); nothing happens where the zoo's cache cannot be written."""
    if first_hash(url) != sha256:
        with suppress(OSError):  # a machine may offer its caches for reading alone
            text = json.dumps({"url": url, "sha256": sha256}, indent=2)
            write_text(record_of(url), f"{text}\n")
