"""Tasks, one module each. Start at task.py."""

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
"""Class by task name, in the order of help texts; imported lazily, since help needs no torch."""

AUTO = "auto"
"""Detect the task from the data."""

CHOICES = (AUTO, *TASKS)
"""The values of ``--task``."""


def task_named(name: str) -> Task:
    """The task of that name, not yet fitted to data.

    Raises:
        UsageError: There is no such task.
    """
    if name not in TASKS:
        guess = did_you_mean(name, CHOICES)
        raise UsageError(
            f"no task is called {name!r}.{guess}", hint=f"Tasks: {', '.join(CHOICES)}."
        )
    task: Task = _class_of(name)()
    return task


def tasks_for(choice: str) -> tuple[Task, ...]:
    """The possible tasks for a value of ``--task``: one, or all of them for :data:`AUTO`.

    They come in the order in which they are asked whether they claim a column; the last one, the
    first in :data:`TASKS`, takes what no other claims.

    Raises:
        UsageError: There is no such task.
    """
    names = reversed(tuple(TASKS)) if choice == AUTO else (choice,)
    return tuple(task_named(name) for name in names)


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task described in ``run.json``.

    Raises:
        RunError: This version of zoo does not know the task.
        UsageError: The task does not have the metric.
    """
    if data["name"] not in TASKS:
        raise RunError(
            f"this version of zoo does not know the run's task {data['name']!r}",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    task: Task = _class_of(data["name"]).from_json(data)
    return task


def _class_of(name: str) -> Any:
    module, _, kind = TASKS[name].partition(":")
    return getattr(importlib.import_module(f"zoo.tasks.{module}"), kind)
