"""The folder of a new run: its name, its lock, and its removal if nothing was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from zoo.engine.checkpoint import CheckpointStore
from zoo.errors import Stopped
from zoo.runs.folder import LAST, begin_run, claim_folder, discard_run, locked
from zoo.runs.folds import has_folds

_LONGEST = 60  # characters of the backbone's name, each up to 4 bytes, in a folder name


@dataclass(frozen=True)
class Claimed:
    """The locked folder of a run.

    Attributes:
        folder: Its path.
        record: Contents of ``run.json`` while the run trains.
        parents: Parent folders created for a new run; ``None`` for a run that is resumed.
    """

    folder: Path
    record: Mapping[str, Any]
    parents: Sequence[Path] | None = None

    @contextmanager
    def started(self, *, main: bool) -> Iterator[None]:
        """Write ``run.json``; after an error, remove a new run of which nothing was saved."""
        if self.parents is None or not main:
            yield
            return
        try:
            begin_run(self.folder, self.record)
            yield
        except Stopped:
            raise
        except Exception:  # raised again: any error leaves a folder that cannot be resumed
            if not (CheckpointStore(self.folder / LAST).saved or has_folds(self.folder)):
                discard_run(self.folder, self.parents)
            raise


Claim = Callable[[Mapping[str, Any]], AbstractContextManager[Claimed]]
"""Claims a folder for the given contents of ``run.json``."""


def new_run(
    output: Path | None,
    backbone: str,
    *,
    main: bool,
    require: Callable[[Mapping[str, Any]], None] | None = None,
) -> Claim:
    """Claim ``output``, or by default the first free folder of ``runs/NAME-1``, ``-2``, …

    Args:
        output: The folder, if the user has named it.
        backbone: Canonical name.
        main: Whether this is the first of several processes.
        require: Called before with the contents of ``run.json``; may raise.
    """

    @contextmanager
    def claim(record: Mapping[str, Any]) -> Iterator[Claimed]:
        if require:
            require(record)
        folder, parents = claim_folder(output, short_name(backbone)) if main else (Path(), ())
        folder = _broadcast(folder)
        with locked(folder, main):
            yield Claimed(folder, record, parents)

    return claim


def short_name(name: str) -> str:
    """The last part of a backbone's name, without characters that are special in paths."""
    last = name.rstrip("/").rpartition("/")[2][:_LONGEST] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"


def _broadcast(folder: Path) -> Path:
    """The folder chosen by the first process."""
    agreed = [str(folder)]
    broadcast_object_list(agreed)
    return Path(agreed[0])
