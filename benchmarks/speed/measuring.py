"""A process started again: how long it takes, how much memory it needs, what it says."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PERIOD = 0.1
"""Seconds between two looks at the memory."""

MEMORY = "PSS" if psutil.LINUX else "USS"
"""Resident memory; what several processes share is dealt out among them, or elsewhere left out."""

ROOT = Path(__file__).parents[2]
"""Of the project, where processes are started."""


class Failed(Exception):
    """The process ended with an error; the last thing it said is the message."""


def measure(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run ``command`` to its end.

    Returns:
        ``seconds`` from its start to its end; ``memory``, the highest sum of it and all
        processes that it started, in bytes; and what it printed as JSON.

    Raises:
        Failed: It did not end well.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=said, stderr=errors)
        with _Watch(process.pid) as watch:
            try:
                process.wait()
            finally:
                process.kill()  # where the measurement itself is stopped
            seconds = time.perf_counter() - began
        said.seek(0)
        errors.seek(0)
        if process.returncode:
            lines = errors.read().strip().splitlines()
            raise Failed(lines[-1] if lines else f"exit status {process.returncode}")
        document = _document(said.read())
    return {"seconds": round(seconds, 3), "memory": watch.peak, **document}


class _Watch:
    """Looks at the memory of a process and its descendants while the block runs.

    Attributes:
        peak: The highest sum so far, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(PERIOD):
            with suppress(psutil.Error):
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(_memory(member) for member in family))


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):  # it ended meanwhile
        facts = process.memory_full_info()
        return int(getattr(facts, MEMORY.lower()))
    return 0


def _document(text: str) -> dict[str, Any]:
    """The metrics of zoo's ``--json``, or of the last line, a peer's; or none."""
    for candidate in (text, (text.strip().splitlines() or [""])[-1]):
        with suppress(ValueError):
            found = json.loads(candidate)
            metrics = {**found, **found.get("metrics", {})}
            names = ("accuracy", "samples_per_second", "passes", "trained_on", "validated_on")
            return {name: metrics[name] for name in names if name in metrics}
    return {}
