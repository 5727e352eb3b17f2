"""The metrics that may choose the best epoch of a run, by task, and in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from zoo.data.samples import TaskName

HIGHER, LOWER = 1, -1

CRITERIA: Mapping[TaskName, Mapping[str, int]] = {
    "single-label": {
        "accuracy": HIGHER,
        "balanced_accuracy": HIGHER,
        "macro_f1": HIGHER,
        "loss": LOWER,
    },
    "multi-label": {
        "map": HIGHER,
        "macro_f1": HIGHER,
        "micro_f1": HIGHER,
        "accuracy": HIGHER,
        "loss": LOWER,
    },
    "regression": {"loss": LOWER, "rmse": LOWER, "mae": LOWER, "r2": HIGHER},
}
"""For each task its metrics, the default first, and whether higher or lower is better."""


def default_metric(task: TaskName, *, rare: bool = False) -> str:
    """What chooses the best epoch where nobody has said.

    Args:
        task: Of the data.
        rare: Whether rare classes are to count as much as others (``--class-weights``,
            ``--balanced``, ``--focal``). Accuracy would then keep an epoch that never predicts
            them; what such a loss improves is the mean recall.
    """
    if rare and "balanced_accuracy" in CRITERIA[task]:
        return "balanced_accuracy"
    return next(iter(CRITERIA[task]))


def criteria_of(task: TaskName, metric: str) -> int:
    """Whether ``metric`` is better when it is higher, 1, or lower, -1.

    Raises:
        UsageError: The task has no such metric.
    """
    known = CRITERIA[task]
    if metric not in known:
        guess = did_you_mean(metric, known)
        raise UsageError(
            f"--metric {metric!r} is not a metric of {task} data.{guess}",
            hint=f"Metrics: {', '.join(known)}.",
        )
    return known[metric]


def ranked(task: TaskName, metric: str, figures: Mapping[str, float]) -> tuple[float, ...]:
    """What epochs are compared by, higher is better: the metric, and of equals the loss."""
    return CRITERIA[task][metric] * figures[metric], -figures["loss"]
