"""The request of a distillation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.data.memory.source import DataSource
from zoo.errors import UsageError
from zoo.runs.request import OPTIONS, Request
from zoo.runs.run import Run

TEMPERATURE = 2.0
"""The default temperature of logits."""

_NEED_LABELS = (
    *("class_weights", "balanced", "focal", "label_smoothing", "loss", "mixup", "cutmix"),
    *("classes", "task", "label_column", "dedupe", "folds", "corrections", "test_split"),
    *("group_column", "group_pattern", "group_table"),
)


def distillation(
    student: str,
    data: DataSource | None,
    teacher: Run,
    temperature: float | None,
    options: Mapping[str, Any],
) -> Request:
    """The request to train ``student`` on the outputs of ``teacher``.

    Raises:
        UsageError: There is no data, an option needs labels, or the temperature is not valid.
    """
    if data is None:
        raise UsageError("zoo distill needs --data", hint="Add --data PATH: files without labels.")
    for name in _NEED_LABELS:
        if (value := options.get(name)) is not None and OPTIONS[name].is_set(value):
            raise UsageError(
                f"{OPTIONS[name].typed} does not work with zoo distill: the targets are the outputs "
                "of the teacher",
                hint=f"Leave {OPTIONS[name].typed} out.",
            )
    usual = TEMPERATURE if teacher.task.has_classes else 1.0
    chosen = usual if temperature is None else float(temperature)
    if not (math.isfinite(chosen) and chosen > 0):
        raise UsageError(
            f"--temperature must be greater than 0, got {chosen:g}", hint="For example 2."
        )
    request = Request.from_options(student, data, {**options, "task": teacher.task.name})
    return replace(request, teacher=str(teacher.folder), temperature=chosen)
