"""The sha256 that the file of a web address had when it first came to this machine. No torch."""

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
    """The file, in zoo's own cache, in which the hash is or would be recorded."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "first-hashes" / f"{Path(urlsplit(url).path).name}-{digest}.json"


def first_hash(url: str) -> str:
    """All 64 digits, or the empty string where nothing has been recorded."""
    try:
        record = json.loads(read_small(record_of(url)))
        return str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def remember(url: str, sha256: str) -> None:
    """Record ``sha256`` (64 digits); where zoo's cache cannot be written, that is said alone."""
    if first_hash(url) == sha256:
        return
    record = record_of(url)
    try:
        write_text(record, json.dumps({"url": url, "sha256": sha256}, indent=2) + "\n")
    except OSError as error:  # a machine may offer its caches for reading alone
        warnings.warn(
            f"the hash of {url} cannot be recorded in {record.parent} "
            f"({error.strerror or error}); a later file is held to the published digits alone",
            stacklevel=2,
        )
