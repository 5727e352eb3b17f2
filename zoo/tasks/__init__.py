"""What outputs mean: one file a task. Start at task.py."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import RunError, UsageError, did_you_mean

if TYPE_CHECKING:
    from zoo.tasks.task import Task

TASKS: Mapping[str, str] = {
    "single-label": "single_label:SingleLabel",
    "multi-label": "multi_label:MultiLabel",
    "regression": "regression:Regression",
}
"""By name, in the order in which help lists them, the class in its module, which is imported late:
help needs the names and no torch."""

AUTO = "auto"
"""Leaves the choice of the task to the data."""

CHOICES = (AUTO, *TASKS)
"""What ``--task`` takes."""


def task_named(name: str) -> Task:
    """The task of that name, not yet fitted to data.

    Raises:
        UsageError: There is none.
    """
    if name not in TASKS:
        guess = did_you_mean(name, CHOICES)
        raise UsageError(
            f"no task is called {name!r}.{guess}", hint=f"Tasks: {', '.join(CHOICES)}."
        )
    task: Task = _class_of(name)()
    return task


def tasks_for(choice: str) -> tuple[Task, ...]:
    """What data may be of: the task of that name; of :data:`AUTO` all, in the order in which they
    are asked whether they claim a column. The first in :data:`TASKS` takes what no other claims.

    Raises:
        UsageError: There is no such task.
    """
    names = reversed(tuple(TASKS)) if choice == AUTO else (choice,)
    return tuple(task_named(name) for name in names)


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task that ``run.json`` describes.

    Raises:
        RunError: It is no task that this zoo knows.
        UsageError: The task has no such metric.
    """
    if data["name"] not in TASKS:
        raise RunError(
            f"the run's task is {data['name']!r}, which this zoo does not know",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    task: Task = _class_of(data["name"]).from_json(data)
    return task


def _class_of(name: str) -> Any:
    module, _, kind = TASKS[name].partition(":")
    return getattr(importlib.import_module(f"zoo.tasks.{module}"), kind)
