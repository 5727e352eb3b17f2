"""Run a process; measure its time and memory, and read its JSON output."""

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
"""Seconds between two memory samples."""

MEMORY = "PSS" if psutil.LINUX else "USS"
"""Kind of memory: PSS splits shared pages among processes; USS, used elsewhere, excludes them."""

ROOT = Path(__file__).parents[2]
"""The project root, working directory of the processes."""


NAMES = (
    "accuracy", "accuracies", "samples_per_second", "steady", "waiting", "epoch_seconds", "passes",
    "trained_on", "validated_on", "batch_size", "lr", "gpu_memory", "val", "test",
)  # fmt: skip
"""Metrics that a process may print."""


class RunFailed(Exception):
    """The process failed; the message is the last line of its standard error."""


def measure(
    command: Sequence[str], environment: Mapping[str, str], limit: float | None = None
) -> dict[str, Any]:
    """Run ``command`` and wait for it.

    Args:
        command: The program and its arguments.
        environment: Its environment variables.
        limit: Seconds after which it is stopped with all that it started; ``None`` for no limit.

    Returns:
        ``seconds``, the total time; ``memory``, the peak of the process and its descendants
        together, in bytes; and the metrics it printed as JSON.

    Raises:
        RunFailed: The exit status is not 0, or the limit was reached.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=errors)
        with _MemoryMonitor(process.pid) as monitor:
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired as error:
                raise RunFailed(f"stopped after {limit:.0f} s") from error
            finally:
                _end(process)  # if the benchmark itself is interrupted
            seconds = time.perf_counter() - began
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            lines = errors.read().strip().splitlines()
            raise RunFailed(lines[-1] if lines else f"exit status {process.returncode}")
        document = _document(output.read())
    return {"seconds": round(seconds, 3), "memory": monitor.peak, **document}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the process, if it still runs, and those that it started."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait()


class _MemoryMonitor:
    """Samples the memory of a process and its descendants while the block runs.

    Attributes:
        peak: Highest total so far, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _MemoryMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopped.wait(PERIOD):
            with suppress(psutil.Error):
                processes = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(_memory(process) for process in processes))


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):  # the process has ended
        info = process.memory_full_info()
        return int(getattr(info, MEMORY.lower()))
    return 0


def _document(text: str) -> dict[str, Any]:
    """Metrics of zoo's ``--json`` output or of another library's last line; empty if there are none."""
    for candidate in (text, (text.strip().splitlines() or [""])[-1]):
        with suppress(ValueError):
            found = json.loads(candidate)
            metrics = {**found, **found.get("metrics", {})}
            return {name: metrics[name] for name in NAMES if name in metrics}
    return {}
