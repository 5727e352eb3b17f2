"""Files from web addresses: continued where they were cut, and whole under their name or not at all.

urllib, as in ``torch.hub``'s loader, which begins every cut download again. The Hub client's
``http_get`` continues, but refuses every host while ``HF_HUB_OFFLINE`` is set, takes the rest of a
file that has changed meanwhile for the rest of the old one, and sleeps as long as a host asks.
No torch.
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
"""How often a host is asked before the zoo gives up."""

PAUSE = 0.5
"""Seconds before the second try; twice as long before each that follows."""

STALL_SECONDS = 10.0
"""How long a host may send nothing."""

LONGEST_WAIT = 30.0
"""Seconds that are waited for a host that asks to; one that asks for more is given up."""

_CHUNK = 1 << 20
_TRANSIENT = (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _Again(Exception):
    """A reason to try again; ``after`` is how many seconds the host asks to wait."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class _Held:
    """What an earlier try has left: ``size`` of ``total`` bytes of the file ``validator`` names."""

    size: int = 0
    total: int | None = None
    validator: str = ""


def download(url: str, target: Path, *, digits: str, if_other: str) -> str:
    """Put the file at ``url`` at ``target``; what a cut or killed download left is continued.

    Until it is whole and right it is called ``<target>.part``. The caller holds a lock.

    Args:
        url: ``http://…`` or ``https://…``.
        target: In a folder that is made if need be.
        digits: The first hexadecimal digits of its sha256, or all, or none.
        if_other: What to do or type if the file is another; it is deleted.

    Returns:
        All 64 digits of its sha256.

    Raises:
        WeightsError: The host does not give the file, gives another, or it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, TRIES + 1):
            try:
                return _try(url, target, digits=digits, if_other=if_other)
            except _Again as reason:
                pause = reason.after if reason.after is not None else PAUSE * 2 ** (number - 1)
                if number == TRIES or pause > LONGEST_WAIT:
                    _give_up(url, target, reason)
                tell(f"{_host(url)} {reason}; trying again in {pause:.1f} s")
                time.sleep(pause)
    except OSError as error:
        raise WeightsError(
            f"{url} cannot be kept at {target}: {error.strerror or error}",
            hint="Make room there, or set TORCH_HOME to another folder.",
        ) from error
    raise AssertionError("unreachable: the last try returns or raises")


def tell(text: str) -> None:
    """Say on standard error what a waiting person should know; hosts and names may be anybody's."""
    print(clean(text), file=sys.stderr, flush=True)


def _try(url: str, target: Path, *, digits: str, if_other: str) -> str:
    part = target.with_name(f"{target.name}.part")
    note = target.with_name(f"{target.name}.part.json")
    held = _held(url, part, note)
    if not held.size or held.size != held.total:
        try:
            _receive(url, part, note, held)
        except HTTPError as error:
            _refused(url, target, error, part)
        except _TRANSIENT as error:
            _cut(url, error)
    found = sha256_of(part)
    if not found.startswith(digits):
        part.unlink()
        if held.size:
            raise _Again("gave a file that does not fit what an earlier download had begun")
        right = digits[:12]
        raise WeightsError(
            f"{url} gave another file than {target.name}, which was deleted: its sha256 begins "
            f"with {found[: len(right)]}, and not with {right}",
            hint=if_other,
        )
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    note.unlink(missing_ok=True)  # first: once the file has its name, nobody looks for the note
    part.replace(target)
    return found


def _held(url: str, part: Path, note: Path) -> _Held:
    """What can be continued: a part that is known to be of the file that is at ``url``."""
    try:
        facts = json.loads(read_small(note))
        held = _Held(part.stat().st_size, facts["total"], facts["validator"])
        if facts["url"] == url and held.validator and held.size <= (held.total or held.size):
            return held
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return _Held()


def _receive(url: str, part: Path, note: Path, held: _Held) -> None:
    """Ask for what is missing, and add it to ``part``; or begin again, where the host wants that."""
    request = Request(url, headers={"User-Agent": "zoo"})
    if held.size:
        request.add_header("Range", f"bytes={held.size}-")
        request.add_header("If-Range", held.validator)
    with urlopen(request, timeout=STALL_SECONDS) as answer:
        _demand_a_file(url, answer.status, answer.headers)
        continued = answer.status == 206
        begin = held.size if continued else 0
        if continued and not (answer.headers["Content-Range"] or "").startswith(f"bytes {begin}-"):
            part.unlink(missing_ok=True)
            raise _Again("gave another piece of the file than was asked for")
        total = None if answer.length is None else begin + answer.length
        with part.open("ab" if continued else "wb") as file:
            if not continued:
                facts = {"url": url, "total": total, "validator": _validator(answer.headers)}
                note.write_text(json.dumps(facts), encoding="utf-8")  # half of it counts as none
            with _progress(url, begin, total) as advance:
                while chunk := answer.read1(_CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
        size = part.stat().st_size
        if total is not None and size != total:
            raise _Again(f"ended the connection after {size:,} of {total:,} bytes")


def _demand_a_file(url: str, status: int, headers: Message) -> None:
    if status not in (200, 206):
        raise WeightsError(f"{_host(url)} answers {status} to {url}, and sends no file")
    if headers.get_content_type() == "text/html":
        raise WeightsError(
            f"{url} leads to a web page instead of a file of weights",
            hint="A network that wants a login first answers so. Open the address in a browser.",
        )


def _validator(headers: Message) -> str:
    """What names this very file, for ``If-Range`` (RFC 9110, 13.1.5); empty if nothing does."""
    tag = headers["ETag"] or ""
    return str(tag if tag and not tag.startswith("W/") else headers["Last-Modified"] or "")


def _refused(url: str, target: Path, error: HTTPError, part: Path) -> NoReturn:
    """Say what an answer of 4xx or 5xx means."""
    error.close()
    code = error.code
    if code == 416:  # there is no such range: what is held is not of this file
        part.unlink(missing_ok=True)
        raise _Again("has less of the file than an earlier download") from error
    if code == 429:
        after = _retry_after(error.headers)
        raise _Again("asks to wait, for it has had too many requests (429)", after=after) from error
    if code in (408, 500, 502, 503, 504):
        after = _retry_after(error.headers)
        raise _Again(f"has a fault of its own ({code} {error.reason})", after=after) from error
    if code in (404, 410):
        raise WeightsError(
            f"{_host(url)} has no file at {url} ({code})",
            hint="Take another tag of 'zoo show NAME', or give a file with --weights PATH.",
        ) from error
    if code in (401, 403):
        raise WeightsError(
            f"{_host(url)} does not give out {url} ({code})",
            hint=f"Fetch the file as its publisher asks, and put it at {target}.",
        ) from error
    raise WeightsError(
        f"{_host(url)} refuses {url} ({code} {error.reason})",
        hint=f"Fetch the file in another way, and put it at {target}.",
    ) from error


def _retry_after(headers: Message) -> float | None:
    """Seconds until the moment that ``Retry-After`` names, by either of its two forms."""
    wish = headers["Retry-After"] or ""
    if wish.isdecimal():
        return float(wish)
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(wish).timestamp() - time.time())
    return None


def _give_up(url: str, target: Path, reason: _Again) -> NoReturn:
    hint = f"Try again later, or put the file at {target} yourself."
    if reason.after is not None and reason.after > LONGEST_WAIT:
        hint = f"Try again in {_span(reason.after)}, or put the file at {target} yourself."
    elif target.with_name(f"{target.name}.part").exists():
        hint = f"Try again: what has come is kept. Or put the file at {target} yourself."
    raise WeightsError(f"downloading {url} failed: {_host(url)} {reason}", hint=hint) from reason


def _cut(url: str, error: BaseException) -> NoReturn:
    """Say what happened to a connection."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise WeightsError(
            f"{_host(url)} cannot show that it is {_host(url)}: {cause.verify_message}",
            hint="Behind a proxy that opens connections, set SSL_CERT_FILE to its certificate.",
        ) from error
    if isinstance(cause, TimeoutError):
        raise _Again(f"has sent nothing for {STALL_SECONDS:g} s") from error
    raise _Again(f"ended the connection ({getattr(cause, 'strerror', None) or cause})") from error


def _span(seconds: float) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes:.0f} minutes" if minutes > 1 else f"{seconds:.0f} s"


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


@contextmanager
def _progress(url: str, begin: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar where standard error is a terminal, else a line; the function takes bytes."""
    from rich.filesize import decimal

    name = Path(urlsplit(url).path).name
    if not sys.stderr.isatty():
        size = f" ({decimal(total)})" if total else ""
        more = f", from byte {begin:,} on" if begin else ""
        tell(f"Downloading {url}{size}{more}")
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
