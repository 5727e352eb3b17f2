"""What the outputs mean, and which figures tell how good they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zoo.engine.metrics import headline


class Task:
    """One label a sample."""

    name = "single-label"

    def targets(self, labels: Tensor) -> Tensor:
        return labels

    def headline(self, logits: Tensor, labels: Any) -> dict[str, float]:
        return headline(logits, labels)

    def score(self, figures: dict[str, float]) -> tuple[float, ...]:
        return (figures["accuracy"], -figures["loss"])


def task_of(splits: Any) -> Task:  # noqa: ARG001
    """The task that the splits pose."""
    return Task()
