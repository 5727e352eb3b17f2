"""Results of a search: its trials, the best run, and an estimate on data that no trial saw."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.engine.hyperparameters import rows
from zoo.engine.recipe import Recipe
from zoo.runs.request import Request

if TYPE_CHECKING:
    from zoo.runs.run import Run

FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One trial.

    Attributes:
        number: From 1.
        backbone: Name of the backbone.
        options: Options that are not as by default.
        probe: Whether only the head was trained, on cached features, before the search.
        state: ``finished``, ``pruned`` (ended early, as worse than others after the same epochs) or
            ``failed``.
        value: The selection metric on the validation split; ``None`` if it failed.
        score: The same, higher is better.
        epochs: Epochs trained, without strengths of a solved head.
        seconds: Duration.
        ended: Seconds of the search until its end.
        inference: Seconds that the network took for a sample; 0 if unknown, as for cached features.
        folder: The run folder; ``None`` if it was removed, as worse than others.
        note: Why it failed.
    """

    number: int
    backbone: str
    options: Mapping[str, Any]
    probe: bool
    state: str
    value: float | None
    score: float | None
    epochs: int
    seconds: float
    ended: float
    inference: float = 0.0
    folder: str | None = None
    note: str = ""

    @property
    def settings(self) -> str:
        """The options in short: ``full lr 0.0002 decay 0.8``."""
        parts = ["probe"] if self.probe else []
        for name, value in self.options.items():
            word = _SHORT.get(name, name)
            parts.append(f"{word} {value:g}" if isinstance(value, int | float) else str(value))
        return " ".join(parts) or "default"

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


_SHORT = {"layer_decay": "decay", "weight_decay": "wd", "image_size": "size"}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The selection metric of the best run on samples that no trial has seen.

    Attributes:
        metric: Its name.
        value: Its value.
        low: Lower end of the 95 % confidence interval; ``None`` if there is none.
        high: Upper end.
        samples: Number of samples.
        left_out: How many more were left out, because the training split has them too.
        source: Where they are from: ``test``, the test split, or ``aside``, set aside before.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    samples: int
    left_out: int
    source: str

    def in_words(self, title: str) -> str:
        """A sentence."""
        between = "" if self.low is None else f", 95 % interval {self.low:.4f} to {self.high:.4f}"
        where = {"test": "of the test split", "aside": "set aside before the search"}
        count = "1 sample" if self.samples == 1 else f"{self.samples:,} samples"
        but = f"; {self.left_out:,} more are also in training" if self.left_out else ""
        return f"{title} {self.value:.4f} on {count} {where[self.source]}{between}{but}"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The result of :func:`zoo.tune`.

    Attributes:
        folder: Folder of the search.
        best_run: The run with the best selection metric on the validation split.
        trials: All trials, in their order.
        estimate: Its metric on samples that no trial has seen.
        command: The command that repeats the best run.
        seconds: Duration, without interruptions.
    """

    folder: Path
    best_run: Run
    trials: tuple[Tried, ...]
    estimate: Estimate
    command: str
    seconds: float

    @property
    def best(self) -> Tried:
        """The best trial."""
        return best_of(self.trials)[0]

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "folder": str(self.folder),
            "best_run": str(self.best_run.folder),
            "best_trial": self.best.number,
            "metric": self.estimate.metric,
            "estimate": asdict(self.estimate),
            "trials": [each.to_json() for each in self.trials],
            "command": self.command,
            "seconds": round(self.seconds, 3),
        }


def best_of(trials: Sequence[Tried]) -> list[Tried]:
    """The finished trials, the best first; of equals the earlier."""
    finished = [each for each in trials if each.state == FINISHED and each.score is not None]
    return sorted(finished, key=lambda each: (-(each.score or 0.0), each.number))


def command_of(request: Request) -> str:
    """The command that trains what ``request`` does, without its time limit."""
    words = ["zoo", "finetune", request.backbone]
    table = rows(Request, Recipe)
    values = {name: getattr(request, name) for name in rows(Request)} | dict(request.overrides)
    for name, value in values.items():
        row = table[name]
        if value is None or value == row.default or name == "time_limit" or not row.section:
            continue
        if isinstance(value, bool):
            words.append(row.typed if value else f"--no-{row.flag}")
        elif row.several:
            each = value if isinstance(value, tuple) else (value,)
            words += [word for one in each for word in (row.typed, str(one))]
        else:
            words += [row.typed, *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)
