"""Data opened as commands open it, with the name of a task in the place of its object."""

from __future__ import annotations

from typing import Any

from zoo.data import demo, drawn, opening, rows
from zoo.data.samples import Splits
from zoo.tasks import AUTO, tasks_for


def open_data(source: Any, *, task: str = AUTO, **options: Any) -> Splits:
    return opening.open_data(source, tasks=tasks_for(task), **options)


def open_rows(source: Any, *, task: str = AUTO, **options: Any) -> rows.Rows:
    return rows.open_rows(source, tasks=tasks_for(task), **options)


def open_sample(source: Any, *, task: str = AUTO, **options: Any) -> Splits:
    return drawn.open_sample(source, tasks=tasks_for(task), **options)


def demo_data(modality: Any, **options: Any) -> Splits:
    return demo.demo_data(modality, task="single-label", **options)
