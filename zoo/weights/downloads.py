"""Resumable, atomic downloads over HTTP.

Uses urllib as ``torch.hub`` does, which cannot resume. The Hub client's ``http_get`` resumes, but
rejects every host while ``HF_HUB_OFFLINE`` is set, does not notice that a file has changed, and
sleeps as long as a host asks.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from zoo.errors import WeightsError
from zoo.system.characters import clean
from zoo.system.files import sha256_of
from zoo.system.small_files import read_small

TRIES = 4
"""Maximum number of attempts."""

PAUSE = 0.5
"""Delay before the second attempt in seconds; doubled before each further one."""

STALL_SECONDS = 10.0
"""Read timeout, in seconds."""

LONGEST_WAIT = 30.0
"""Maximum Retry-After that is waited for, in seconds."""

_CHUNK = 1 << 20
_TRANSIENT = (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _Retry(Exception):
    """A retryable failure; ``after`` is the host's Retry-After in seconds."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class _Partial:
    """A partial download: ``size`` of ``total`` bytes, of the version ``validator``."""

    size: int = 0
    total: int | None = None
    validator: str = ""


def download(url: str, target: Path, *, digits: str, mismatch_hint: str) -> str:
    """Download a file, resuming an earlier attempt.

    Until it is complete and verified it is called ``<target>.part``. The caller holds a lock.

    Args:
        url: ``http://…`` or ``https://…``.
        target: Destination; its folder is created.
        digits: Leading digits of the expected sha256; may be all or empty.
        mismatch_hint: Hint of the error if the sha256 differs; the file is then deleted.

    Returns:
        The full sha256.

    Raises:
        WeightsError: The download failed, the sha256 differs, or the file cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, TRIES + 1):
            try:
                return _try(url, target, digits=digits, mismatch_hint=mismatch_hint)
            except _Retry as reason:
                pause = reason.after if reason.after is not None else PAUSE * 2 ** (number - 1)
                if number == TRIES or pause > LONGEST_WAIT:
                    _give_up(url, target, reason)
                note(f"{_host(url)} {reason}; retrying in {pause:.1f} s")
                time.sleep(pause)
    except OSError as error:
        raise WeightsError(
            f"failed to write {target}: {error.strerror or error}",
            hint="Free disk space, or set TORCH_HOME to another folder.",
        ) from error
    raise AssertionError("unreachable: the last try returns or raises")


def note(text: str) -> None:
    """Print a note on standard error, without control characters."""
    print(clean(text), file=sys.stderr, flush=True)


def _try(url: str, target: Path, *, digits: str, mismatch_hint: str) -> str:
    part = target.with_name(f"{target.name}.part")
    info = target.with_name(f"{target.name}.part.json")
    partial = _read_partial(url, part, info)
    if not partial.size or partial.size != partial.total:
        try:
            _receive(url, part, info, partial)
        except HTTPError as error:
            _http_error(url, target, error, part)
        except _TRANSIENT as error:
            _connection_error(url, error)
    found = sha256_of(part)
    if not found.startswith(digits):
        part.unlink()
        if partial.size:
            raise _Retry("sent a file that does not match the earlier partial download")
        right = digits[:12]
        raise WeightsError(
            f"the sha256 of {url} does not match and the download was deleted: it starts with "
            f"{found[: len(right)]}, expected {right}",
            hint=mismatch_hint,
        )
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    info.unlink(missing_ok=True)  # first: it is not looked for once the file is in place
    part.replace(target)
    return found


def _read_partial(url: str, part: Path, info: Path) -> _Partial:
    """Return a partial download of this URL that can be resumed."""
    try:
        facts = json.loads(read_small(info))
        partial = _Partial(part.stat().st_size, facts["total"], facts["validator"])
        if (
            facts["url"] == url
            and partial.validator
            and partial.size <= (partial.total or partial.size)
        ):
            return partial
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return _Partial()


def _receive(url: str, part: Path, info: Path, partial: _Partial) -> None:
    """Download the missing part, or the whole file if the host does not support ranges."""
    request = Request(url, headers={"User-Agent": "zoo"})
    if partial.size:
        request.add_header("Range", f"bytes={partial.size}-")
        request.add_header("If-Range", partial.validator)
    with urlopen(request, timeout=STALL_SECONDS) as answer:
        _check_response(url, answer.status, answer.headers)
        continued = answer.status == 206
        begin = partial.size if continued else 0
        if continued and not (answer.headers["Content-Range"] or "").startswith(f"bytes {begin}-"):
            part.unlink(missing_ok=True)
            raise _Retry("sent another range than requested")
        total = None if answer.length is None else begin + answer.length
        with part.open("ab" if continued else "wb") as file:
            if not continued:
                facts = {"url": url, "total": total, "validator": _validator(answer.headers)}
                info.write_text(json.dumps(facts), encoding="utf-8")  # an incomplete one is ignored
            with _progress(url, begin, total) as advance:
                while chunk := answer.read1(_CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
        size = part.stat().st_size
        if total is not None and size != total:
            raise _Retry(f"closed the connection after {size:,} of {total:,} bytes")


def _check_response(url: str, status: int, headers: Message) -> None:
    if status not in (200, 206):
        raise WeightsError(
            f"{_host(url)} responded with status {status} and no file to {url}",
            hint="Try again later, or download it by hand and use --weights PATH.",
        )
    if headers.get_content_type() == "text/html":
        raise WeightsError(
            f"{url} is a web page, not a weights file",
            hint="The network may require a login: open the URL in a browser.",
        )


def _validator(headers: Message) -> str:
    """Return the validator for ``If-Range`` (RFC 9110, 13.1.5); empty if there is none."""
    tag = headers["ETag"] or ""
    return str(tag if tag and not tag.startswith("W/") else headers["Last-Modified"] or "")


def _http_error(url: str, target: Path, error: HTTPError, part: Path) -> NoReturn:
    """Raise the error for a 4xx or 5xx response."""
    error.close()
    code = error.code
    if code == 416:  # range not satisfiable: the partial file is of another version
        part.unlink(missing_ok=True)
        raise _Retry("has a shorter file than the earlier partial download") from error
    if code == 429:
        after = _retry_after(error.headers)
        raise _Retry("received too many requests (429)", after=after) from error
    if code in (408, 500, 502, 503, 504):
        after = _retry_after(error.headers)
        raise _Retry(f"returned a server error ({code} {error.reason})", after=after) from error
    if code in (404, 410):
        raise WeightsError(
            f"{_host(url)} has no file at {url} ({code})",
            hint="Use another tag from 'zoo show NAME', or a local file with --weights PATH.",
        ) from error
    if code in (401, 403):
        raise WeightsError(
            f"{_host(url)} denied access to {url} ({code})",
            hint=f"Download the file as its publisher requires, and copy it to {target}.",
        ) from error
    raise WeightsError(
        f"{_host(url)} rejected the request for {url} ({code} {error.reason})",
        hint=f"Download the file in another way, and copy it to {target}.",
    ) from error


def _retry_after(headers: Message) -> float | None:
    """Return ``Retry-After`` in seconds, given as seconds or as a date."""
    value = headers["Retry-After"] or ""
    if value.isdecimal():
        return float(value)
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None


def _give_up(url: str, target: Path, reason: _Retry) -> NoReturn:
    hint = f"Try again later, or copy the file to {target}."
    if reason.after is not None and reason.after > LONGEST_WAIT:
        hint = f"Try again in {_span(reason.after)}, or copy the file to {target}."
    elif target.with_name(f"{target.name}.part").exists():
        hint = f"Try again to resume the download, or copy the file to {target}."
    raise WeightsError(f"failed to download {url}: {_host(url)} {reason}", hint=hint) from reason


def _connection_error(url: str, error: BaseException) -> NoReturn:
    """Raise the error for a failed connection."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise WeightsError(
            f"certificate verification failed for {_host(url)}: {cause.verify_message}",
            hint="Behind a TLS-inspecting proxy, set SSL_CERT_FILE to its certificate.",
        ) from error
    if isinstance(cause, TimeoutError):
        raise _Retry(f"sent no data for {STALL_SECONDS:g} s") from error
    raise _Retry(f"closed the connection ({getattr(cause, 'strerror', None) or cause})") from error


def _span(seconds: float) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes:.0f} minutes" if minutes > 1 else f"{seconds:.0f} s"


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


@contextmanager
def _progress(url: str, begin: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, else a line; yields a function that takes bytes."""
    from rich.filesize import decimal

    name = Path(urlsplit(url).path).name
    if not sys.stderr.isatty():
        size = f" ({decimal(total)})" if total else ""
        more = f", resumed at byte {begin:,}" if begin else ""
        note(f"Downloading {url}{size}{more}")
        yield lambda _: None
        return
    from rich import progress
    from rich.console import Console

    with progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(name, completed=begin, total=total)
        yield lambda count: bars.advance(task, count)
