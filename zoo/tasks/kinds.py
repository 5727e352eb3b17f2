"""What metrics and losses need to know of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Kinds(Protocol):
    """A task, as metrics and losses see it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the tasks whose metrics and losses apply to its outputs; the first that has one."""

    @property
    def usual_loss(self) -> str:
        """The name of its default loss."""


def in_words(tasks: Iterable[Kinds]) -> str:
    """``regression``, or ``single-label, multi-label or regression``."""
    *others, last = [task.name for task in tasks]
    return f"{', '.join(others)} or {last}" if others else last
