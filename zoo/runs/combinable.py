"""Whether runs can be combined: what soups and ensembles need to be the same in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import RunError, UsageError
from zoo.runs.run import Run

Fact = tuple[str, Callable[[Run], Any], str]
"""What must be the same, in words; how it is read from a run; and what to do if it is not."""

TASK: Fact = (
    "task",
    lambda run: run.task.name,
    "Choose runs that were trained for the same task.",
)
CLASSES: Fact = (
    "classes",
    lambda run: sorted(run.classes),
    "Choose runs that were trained with the same classes.",
)
VALIDATION: Fact = (
    "validation samples",
    lambda run: run.training_data.val,
    "Another run may have trained on them. Train runs on data with a split of its own, such as a "
    "folder val/, or with the same --seed and --val-split.",
)


def opened_runs(runs: Sequence[Run | str | Path], command: str) -> list[Run]:
    """The runs, opened.

    Raises:
        UsageError: There are fewer than two, or one of them twice.
        RunError: One cannot be combined: its network was changed by a function, it was published, or
            it is itself an ensemble.
    """
    found = [run if isinstance(run, Run) else Run(run) for run in runs]
    folders = [run.folder.resolve() for run in found]
    if len(found) < 2 or len(set(folders)) < len(found):
        twice = len(found) - len(set(folders))
        raise UsageError(
            f"zoo {command} needs at least two different runs, got {len(set(folders))}"
            + (", one of them twice" if twice else ""),
            hint=f"For example: zoo {command} runs/resnet18-1 runs/resnet18-2",
        )
    for run in found:
        if run.record["surgery"]:
            raise RunError(
                f"{run.folder} cannot be combined: its network was changed by "
                f"{run.record['surgery']!r}",
                hint="Publish the changed network as a plugin's backbone: docs/plugins.md.",
            )
        if run.record.get("ensemble"):
            raise RunError(f"{run.folder} is an ensemble already", hint="Name its members instead.")
        if not run.training_data.val:
            raise RunError(
                f"{run.folder} has no validation samples of its own, as a run with --folds",
                hint="Choose runs that were trained without --folds.",
            )
    return found


def require_same(runs: Sequence[Run], facts: Sequence[Fact]) -> None:
    """Raise a :class:`RunError` if the runs differ in one of ``facts``."""
    first, *rest = runs
    for words, value, hint in facts:
        for run in rest:
            if value(run) != value(first):
                raise RunError(
                    f"{first.folder} and {run.folder} cannot be combined: their {words} differ",
                    hint=hint,
                )
