"""``zoo serve`` as a process of its own, Chromium, and clients that press on both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""The browser of the system, if there is one."""

_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: Where.
        facts: What ``--json`` printed.
        process: The command.
    """

    url: str
    facts: dict[str, Any]
    process: subprocess.Popen[str]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and wait for the end: the exit code and standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def start(run: Path, *options: object) -> Server:
    """Start ``zoo serve`` on a free port, and wait until it listens."""
    command = [sys.executable, "-m", "zoo", "serve", run, "--port", 0, "--json", *options]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    else:
        raise RuntimeError(process.communicate()[1])
    facts = json.loads("".join(lines))
    return Server(facts["url"], facts, process)


@contextmanager
def served(run: Path, *options: object) -> Iterator[Server]:
    """A server for the length of the block; it has ended after it, whatever happens."""
    server = start(run, *options)
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            server.process.kill()
        server.process.communicate()


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium under Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


@dataclass(frozen=True)
class Load:
    """What many requests came to.

    Attributes:
        statuses: Of HTTP, one a request, in the order of the inputs.
        labels: That were answered, in the same order.
        seconds: That each request took.
        wall: Seconds that all took together.
        early: Bytes of memory of the server after the first 100 requests.
        late: The same at the end.
    """

    statuses: list[int]
    labels: list[str]
    seconds: list[float]
    wall: float
    early: int
    late: int

    def percentile(self, percent: int) -> float:
        """The seconds within which that many percent of the requests were answered."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def press(server: Server, images: Sequence[bytes], *, clients: int, requests: int) -> Load:
    """Send ``requests`` predictions, each of one of ``images`` in turn, from ``clients`` at a time."""
    import httpx
    import psutil

    process = psutil.Process(server.process.pid)
    memory: dict[int, int] = {}
    done, lock = 0, threading.Lock()

    def ask(client: httpx.Client, number: int) -> tuple[int, str, float]:
        nonlocal done
        content = images[number % len(images)]
        start = time.perf_counter()
        response = client.post("/predict", files={"images": (f"{number}.jpg", content)})
        taken = time.perf_counter() - start
        with lock:
            done += 1
            if done in (100, requests):
                memory[done] = process.memory_info().rss
        answered = response.json()
        label = answered["predictions"][0]["label"] if response.is_success else str(answered)
        return response.status_code, label, taken

    def work(first: int) -> list[tuple[int, str, float]]:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            return [ask(client, number) for number in range(first, requests, clients)]

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(work, range(clients)))
    wall = time.perf_counter() - start
    answers = [parts[n % clients][n // clients] for n in range(requests)]
    statuses, labels, seconds = (list(column) for column in zip(*answers, strict=True))
    return Load(statuses, labels, seconds, wall, memory[min(100, requests)], memory[requests])


def drop(page: Any, files: Sequence[tuple[str, bytes]]) -> None:
    """Drop files on a page, as a user drags them there."""
    import base64

    encoded = [(name, base64.b64encode(content).decode()) for name, content in files]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, content] of files) {
                const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
            }
            return transfer;
        }""",
        encoded,
    )
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})


def answered(page: Any, count: int) -> list[Any]:
    """The cards of the answers, once there are ``count`` and none waits; the topmost first."""
    page.wait_for_selector(f"#predictions:not(:has(.waiting)) > li:nth-child({count})")
    return page.query_selector_all("#predictions > li")
