"""Whether the selection metric is defined on a validation split, found out before training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from zoo.data.samples import LabelArray
from zoo.errors import UsageError
from zoo.tasks.task import Task


def require_defined(
    task: Task, labels: LabelArray, classes: Sequence[str], where: str = "the validation split"
) -> tuple[str, ...]:
    """What the selection metric leaves out, computed from random outputs.

    Args:
        task: The task with its selection metric.
        labels: Labels of the validation split.
        classes: Class names or target columns.
        where: What they are labels of.

    Raises:
        UsageError: The metric is undefined on these labels, whatever the outputs.
    """
    if task.selection.metric.defined:  # else scikit-learn would be imported before training
        return ()
    logits = torch.randn(len(labels), len(classes), generator=torch.Generator().manual_seed(0))
    remarks: list[str] = []
    value = task.compute_metrics(logits, labels, classes, remarks)[task.metric]
    prefix = f"{task.selection.title}: "
    reasons = tuple(text.removeprefix(prefix) for text in remarks if text.startswith(prefix))
    if math.isnan(value):
        raise UsageError(
            f"--metric {task.metric} cannot be computed on {where}; "
            f"{'; '.join(reasons) or 'undefined'}",
            hint="Choose another --metric, fewer --folds, or another validation split.",
        )
    return reasons
