"""The run folders below a folder, finished or not, and their removal. No torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from zoo.errors import RunError
from zoo.registry.run_record import LOCK_FILE, read_record

State = Literal["finished", "training", "stopped", "failed", "damaged"]
STATES: tuple[State, ...] = ("finished", "training", "stopped", "failed", "damaged")
LAST, LOCK = "last", ".lock"

DEPTH = 4
"""Levels below a folder that are searched for runs."""


@dataclass(frozen=True)
class ListedRun:
    """A run folder.

    Attributes:
        folder: As given, or found below what was given.
        state: ``finished``; ``training`` now; ``stopped``, which can be resumed; ``failed`` before
            its first checkpoint; or ``damaged``: ``run.json`` cannot be read.
        changed: When ``run.json`` was written, in seconds since 1970.
        bytes: Size of all files.
        error: Why it is damaged.
        record: Contents of ``run.json``; empty if it is damaged.
    """

    folder: Path
    state: State
    changed: float
    bytes: int
    error: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def backbone(self) -> str:
        """The name of its backbone."""
        return str(self.record.get("backbone", ""))

    @property
    def data(self) -> str:
        """The training data, as given by the user."""
        return str(self.record.get("data", {}).get("source") or "")

    @property
    def strategy(self) -> str:
        """The name of its strategy."""
        return str(
            self.record.get("strategy") or self.record.get("recipe", {}).get("strategy") or ""
        )

    @property
    def epochs(self) -> int | None:
        """The number of epochs of its phases; ``None`` if that is not recorded."""
        phases = self.record.get("phases")
        each = [phase.get("epochs") for phase in phases or () if isinstance(phase, Mapping)]
        known = [number for number in each if isinstance(number, int)]
        return sum(known) if known else None

    @property
    def metric(self) -> str:
        """The metric that chose its epoch."""
        return str(self.record.get("task", {}).get("metric") or "")

    @property
    def score(self) -> float | None:
        """That metric on the validation data; ``None`` if it is not finished."""
        metrics = self._results.get("metrics")
        value = metrics.get(self.metric) if isinstance(metrics, Mapping) else None
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def _results(self) -> Mapping[str, Any]:
        found = self.record.get("results")
        return found if isinstance(found, Mapping) else {}

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "run": str(self.folder),
            "state": self.state,
            "backbone": self.backbone or None,
            "data": self.data or None,
            "strategy": self.strategy or None,
            "epochs": self.epochs,
            "metric": self.metric or None,
            "score": self.score,
            "changed": round(self.changed, 3),
            "bytes": self.bytes,
            "error": self.error or None,
        }


def runs_below(folder: Path) -> Iterator[ListedRun]:
    """The runs in ``folder``, itself or below; links are not followed, nor are folders in runs."""
    for path, folders, files in os.walk(folder):
        if LOCK_FILE in files:
            folders.clear()
            yield listed_run(Path(path))
        elif len(Path(path).relative_to(folder).parts) >= DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def listed_run(folder: Path) -> ListedRun:
    """The run in ``folder``, which has a ``run.json``."""
    changed, size = os.lstat(folder / LOCK_FILE).st_mtime, _bytes_in(folder)
    try:
        record = read_record(folder, finished=None)
    except RunError as error:
        return ListedRun(folder, "damaged", changed, size, error.message)
    return ListedRun(folder, _state(folder, record), changed, size, record=record)


def _state(folder: Path, record: Mapping[str, Any]) -> State:
    if record["finished"]:
        return "finished"
    if is_training(folder):
        return "training"
    return "stopped" if (folder / LAST).is_dir() else "failed"


def is_training(folder: Path) -> bool:
    """Whether a process trains in ``folder`` now."""
    path = folder / LOCK
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _bytes_in(folder: Path) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def removable(folder: Path) -> ListedRun:
    """The run in ``folder``, which may be removed.

    Raises:
        RunError: It is not a run folder, is a symbolic link, or a process trains in it.
    """
    above = () if folder.is_absolute() else folder.parents
    link = next((path for path in (folder, *above) if path.is_symlink()), None)
    if link is not None:
        raise RunError(
            f"{link} is a symbolic link to {os.readlink(link)}; zoo does not delete through links",
            hint="Name the run folder itself.",
        )
    if not os.path.lexists(folder / LOCK_FILE):
        raise RunError(
            f"{folder} is not a run folder: no {LOCK_FILE}; nothing was deleted",
            hint="'zoo runs' lists the runs.",
        )
    if Path.cwd().is_relative_to(folder.resolve()):
        raise RunError(
            f"{folder} contains the current directory; nothing was deleted",
            hint="Change to another directory first.",
        )
    if is_training(folder):
        raise RunError(
            f"a process is training in {folder}; nothing was deleted",
            hint="Wait for it, or stop it with Ctrl-C.",
        )
    return listed_run(folder)


def remove_run(run: ListedRun) -> None:
    """Remove the folder of a run; links in it are removed, not what they lead to.

    Raises:
        RunError: It cannot be removed.
    """
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise RunError(
            f"{run.folder} cannot be deleted: {error.strerror}",
            hint="Check its permissions; some of its files may be gone.",
        ) from error
