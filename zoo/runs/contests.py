"""Tests of significance of a run against another, on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zoo.engine.progress import Advance, Reporter
from zoo.runs.predictions import EvaluatedSamples
from zoo.tasks.metric_table import ACCURACY
from zoo.tasks.significance import RESAMPLES, bootstrap, mcnemar, resampled, units_of
from zoo.tasks.task import Task


@dataclass(frozen=True)
class Contest:
    """A significance test of a run against the first one.

    Attributes:
        name: ``mcnemar-exact`` or ``mcnemar-corrected`` of accuracy, ``bootstrap`` of any other
            metric; ``bootstrap-groups`` of any metric if groups of samples are known.
        better: Samples that only this run gets right; for regression, on which it is closer.
        worse: Samples that only the first run gets right; for regression, on which it is closer.
        p: p-value.
        p_holm: p-value with Holm's correction for the number of runs.
        interval: Of a bootstrap: the 95 % interval of the difference of the metric.
    """

    name: str
    better: int
    worse: int
    p: float
    p_holm: float
    interval: tuple[float, float] | None = None


def contests(
    task: Task, evaluated: Sequence[EvaluatedSamples], classes: Sequence[str], reporter: Reporter
) -> list[Contest]:
    """The tests of all runs against the first.

    Args:
        task: With the metric that is compared.
        evaluated: The same samples in the same order, of each run.
        classes: Class names or target columns.
        reporter: Gets the steps of a bootstrap.
    """
    scores = [task.sample_scores(each.outputs, each.labels) for each in evaluated]
    counts = [(int((each > scores[0]).sum()), int((each < scores[0]).sum())) for each in scores[1:]]
    units = units_of(evaluated[0].groups, len(evaluated[0]))
    grouped = len(units) < len(evaluated[0])
    if task.metric == ACCURACY and not grouped:
        found = [Contest(name, *count, p, p) for count in counts for name, p in [mcnemar(*count)]]
        return holm(found)
    with reporter.steps("bootstrap", RESAMPLES * len(evaluated)) as advance:
        first, *others = (_resampled(task, each, classes, units, advance) for each in evaluated)
    found = []
    for count, other in zip(counts, others, strict=True):
        p, interval = bootstrap(other - first)
        name = "bootstrap-groups" if grouped else "bootstrap"
        found.append(Contest(name, *count, p, p, interval))
    return holm(found)


def _resampled(
    task: Task,
    own: EvaluatedSamples,
    classes: Sequence[str],
    units: Sequence[NDArray[np.int64]],
    advance: Advance,
) -> NDArray[np.float64]:
    def value(chosen: NDArray[np.int64]) -> float:
        return task.value(own.outputs[chosen], own.labels[chosen], classes)

    return resampled(value, units, advance)


def holm(found: Sequence[Contest]) -> list[Contest]:
    """With Holm's correction: the smallest p times their number, the next times one less, …"""
    corrected, least = dict[int, float](), 0.0
    for rank, place in enumerate(sorted(range(len(found)), key=lambda i: found[i].p)):
        least = max(least, min(1.0, (len(found) - rank) * found[place].p))
        corrected[place] = least
    return [replace(contest, p_holm=corrected[place]) for place, contest in enumerate(found)]
