"""The sha256 of files when first downloaded, by URL (trust on first use). No torch."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from zoo.system.files import write_text
from zoo.system.paths import cache_folder
from zoo.system.small_files import read_small


def record_of(url: str) -> Path:
    """Return the path of the record in zoo's cache."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "first-hashes" / f"{Path(urlsplit(url).path).name}-{digest}.json"


def first_hash(url: str) -> str:
    """Return the recorded sha256, or an empty string."""
    try:
        record = json.loads(read_small(record_of(url)))
        return str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def remember(url: str, sha256: str) -> None:
    """Record the sha256 of a URL; warn if the cache is not writable."""
    if first_hash(url) == sha256:
        return
    record = record_of(url)
    try:
        write_text(record, json.dumps({"url": url, "sha256": sha256}, indent=2) + "\n")
    except OSError as error:  # the cache may be read-only
        warnings.warn(
            f"failed to record the hash of {url} in {record.parent} ({error.strerror or error}); "
            "only the published digits will be verified",
            stacklevel=2,
        )
