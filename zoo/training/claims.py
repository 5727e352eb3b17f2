"""The folder of a new run: claimed, begun, locked."""

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

_LONGEST = 60  # characters of a backbone's name in that of its run folder; of any, up to 4 bytes


@dataclass(frozen=True)
class Claimed:
    """The locked folder of a run.

    Attributes:
        folder: Where it is.
        record: What ``run.json`` holds while the run trains.
        above: Of a new folder, those that had to be made for it; ``None`` for one that was there.
    """

    folder: Path
    record: Mapping[str, Any]
    above: Sequence[Path] | None = None

    @contextmanager
    def begun(self, *, main: bool) -> Iterator[None]:
        """A new run is there while the block runs, and stays if anything of it has been saved."""
        if self.above is None or not main:
            yield
            return
        try:
            begin_run(self.folder, self.record)
            yield
        except Stopped:
            raise
        except Exception:
            if not CheckpointStore(self.folder / LAST).saved:
                discard_run(self.folder, self.above)
            raise


Claim = Callable[[Mapping[str, Any]], AbstractContextManager[Claimed]]
"""From what ``run.json`` is going to hold to the folder, once that is settled."""


def new_run(output: Path | None, backbone: str, *, main: bool) -> Claim:
    """A claim to ``output``, or by default to the first free folder of ``runs/NAME-1``, …"""

    @contextmanager
    def claim(record: Mapping[str, Any]) -> Iterator[Claimed]:
        folder, above = claim_folder(output, short_name(backbone)) if main else (Path(), ())
        folder = _agreed(folder)
        with locked(folder, main):
            yield Claimed(folder, record, above)

    return claim


def short_name(name: str) -> str:
    """A folder's name for a backbone's: its last part, with nothing that a path would mean."""
    last = name.rstrip("/").rpartition("/")[2][:_LONGEST] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"


def _agreed(folder: Path) -> Path:
    """The folder that the first process has chosen."""
    agreed = [str(folder)]
    broadcast_object_list(agreed)
    return Path(agreed[0])
