"""Tasks, one module each. Start at task.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import RunError
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.registry import Registry, find_offer

if TYPE_CHECKING:
    from zoo.tasks.task import Task

TASKS: Mapping[str, str] = {
    "single-label": "zoo.tasks.single_label:SingleLabel",
    "multi-label": "zoo.tasks.multi_label:MultiLabel",
    "regression": "zoo.tasks.regression:Regression",
}
"""Class by task name, in the order of help texts; imported lazily, since help needs no torch."""

AUTO = "auto"
"""Detect the task from the data."""

TASK: OfferKind = OfferKind(noun="task", plural="tasks", hook="zoo_tasks", holds=type)


def find_task(name: str, registry: Registry | None = None) -> Offer[type[Task]]:
    """The class of a task: zoo's own, or a plugin's.

    Args:
        name: Bare, or ``plugin/name``.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: There is no such task, or several plugins offer it.
        PluginError: Its plugin cannot be used.
    """
    return find_offer(TASK, name, TASKS, registry)


def task_named(name: str, registry: Registry | None = None) -> Task:
    """The task of that name, not yet fitted to data; raises as :func:`find_task`."""
    offer = find_task(name, registry)
    task: Task = offer.call(offer.value)
    if task.name != offer.name:
        raise offer.broken(f"the 'name' of its {offer} is {task.name!r}")
    return task


def tasks_for(choice: str, registry: Registry | None = None) -> tuple[Task, ...]:
    """The possible tasks for a value of ``--task``: one, or all of zoo's own for :data:`AUTO`.

    They come in the order in which they are asked whether they claim a column; the last one, the
    first in :data:`TASKS`, takes what no other claims. Raises as :func:`find_task`.
    """
    names = reversed(tuple(TASKS)) if choice == AUTO else (choice,)
    return tuple(task_named(name, registry) for name in names)


def task_from_json(data: Mapping[str, Any], registry: Registry | None = None) -> Task:
    """The task described in ``run.json``.

    Args:
        data: Its entry.
        registry: Plugins that may provide it or its metric; the installed ones by default.

    Raises:
        RunError: This version of zoo does not know the task.
        ZooError: The task or its metric is unknown, or its plugin cannot be used.
    """
    from zoo.tasks.metrics import find_metric

    name = data["name"]
    if name not in TASKS and "/" not in name:
        raise RunError(
            f"this version of zoo does not know the run's task {name!r}",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    metric = find_metric(data["metric"], task_named(name, registry), registry=registry)
    offer = find_task(name, registry)
    task: Task = offer.call(offer.value.from_json, data, metric)
    return task
