"""The folder of a search: ``tune.json``, Optuna's journal, and the runs of the best trials."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.system import files
from zoo.tuning.results import Tried

STATE, JOURNAL, TRIALS, PLOT = "tune.json", "journal.log", "trials", "trials.png"
_FORMAT = 1
_SAME = {
    "data": "the data",
    "fingerprint": "the contents of the data",
    "options": "the options",
    "backbones": "the backbones",
    "space": "what is searched",
    "seed": "the seed",
}
"""What must be as before to continue a search, and how it is called."""


@dataclass
class SearchState:
    """What a search has done so far; the contents of ``tune.json``.

    Attributes:
        folder: The folder.
        search: What is searched: data, options, backbones, space, seed.
        time_limit: Seconds for all sessions together.
        max_trials: Most trials beside the probes, if limited.
        spent: Seconds so far.
        finished: Whether the estimate has been made.
        shortlist: Backbones that are fine-tuned; empty until the probes are done.
        trials: The trials so far.
        estimate: On data that no trial saw, once it is made.
    """

    folder: Path
    search: Mapping[str, Any]
    time_limit: float
    max_trials: int | None = None
    spent: float = 0.0
    finished: bool = False
    shortlist: Sequence[str] = ()
    trials: list[Tried] = field(default_factory=list)
    estimate: Mapping[str, Any] | None = None

    def run_folder(self, number: int) -> Path:
        """Where the run of a trial is."""
        return self.folder / TRIALS / str(number)

    def save(self) -> None:
        """Write ``tune.json``, completely or not at all.

        Raises:
            RunError: It cannot be written.
        """
        document = {
            "format": _FORMAT,
            "search": dict(self.search),
            "time_limit": self.time_limit,
            "max_trials": self.max_trials,
            "spent": round(self.spent, 3),
            "finished": self.finished,
            "shortlist": list(self.shortlist),
            "trials": [each.to_json() for each in self.trials],
            "estimate": self.estimate,
        }
        try:
            files.write_text(self.folder / STATE, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise RunError(
                f"failed to write {self.folder / STATE}: {error.strerror or error}",
                hint="Free disk space, or make the folder writable; then use zoo tune --resume.",
            ) from error

    def require_same(self, search: Mapping[str, Any]) -> None:
        """Raise a :class:`RunError` unless ``search`` is what this folder is a search of."""
        changed = [word for key, word in _SAME.items() if self.search.get(key) != search.get(key)]
        if changed:
            raise RunError(
                f"{self.folder} is another search: {', '.join(changed)} differed",
                hint="Choose another folder with --output DIR, or repeat the search as it was.",
            )


def read_state(folder: Path) -> SearchState:
    """The state of a search.

    Raises:
        RunError: The folder has none, or it is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        raise RunError(
            f"{folder} is not the folder of a search: it lacks {STATE}",
            hint="zoo tune --resume takes the folder that zoo tune printed.",
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("format") != _FORMAT:
            raise ValueError("its format is not known")
        trials = [Tried(**each) for each in document.pop("trials")]
        return SearchState(folder, trials=trials, **document)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged: {error}", hint="Start a new search in another folder."
        ) from error


def unfinished(search: Mapping[str, Any]) -> Path | None:
    """The latest folder in ``runs/`` of the same search, if it has not been finished."""
    found = [folder for folder in _searches() if _is_unfinished(folder, search)]
    return max(found, key=os.path.getmtime, default=None)


def _searches() -> Iterator[Path]:
    if Path("runs").is_dir():
        yield from (path for path in Path("runs").glob("tune-*") if (path / STATE).is_file())


def _is_unfinished(folder: Path, search: Mapping[str, Any]) -> bool:
    try:
        state = read_state(folder)
        state.require_same(search)
    except RunError:
        return False
    return not state.finished
