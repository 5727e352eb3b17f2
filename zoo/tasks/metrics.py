"""The table of metrics: names, functions, directions and tasks. A new metric is a row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UsageError, did_you_mean

Floats = NDArray[np.float64]

THRESHOLD = 0.5
"""The probability from which a label is predicted, for multi-label."""

LOSS = "loss"
"""The key of the loss, which each task computes itself from logits."""


@dataclass(frozen=True)
class MetricInput:
    """Predictions and labels of ``N`` samples.

    Attributes:
        predicted: ``(N,)`` class indices, ``(N, classes)`` booleans, or ``(N, targets)`` values in
            the user's units.
        outputs: ``(N, outputs)``: probabilities, or values.
        labels: ``(N,)`` class indices, ``(N, classes)`` of 0 and 1, or ``(N, targets)`` values.
    """

    predicted: NDArray[Any]
    outputs: Floats
    labels: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A row of the table.

    Attributes:
        key: Its name in ``--metric``, ``run.json`` and ``metrics.jsonl``; tasks may share it.
        title: Its name in tables and reports.
        tasks: Names of the tasks that have it; empty for all.
        measure: Computes the value; ``None`` for the loss.
        higher: Whether higher is better.
        always: Whether it is computed every epoch; else only as the selection metric.
        leads: Whether it is the main metric of runs selected by loss.
        share: Whether it is a proportion of samples, which has a confidence interval.
        meaning: An explanation in the report.
    """

    key: str
    title: str
    tasks: tuple[str, ...]
    measure: Callable[[MetricInput], float] | None
    higher: bool = True
    always: bool = True
    leads: bool = False
    share: bool = False
    meaning: str = ""


# -- single-label ------------------------------------------------------------------------------


def _accuracy(given: MetricInput) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(given.labels, given.predicted))


def _balanced_accuracy(given: MetricInput) -> float:
    from sklearn.metrics import recall_score

    labels = given.labels
    return float(recall_score(labels, given.predicted, labels=np.unique(labels), average="macro"))


def _macro_f1(given: MetricInput) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(given.labels, given.predicted, average="macro", zero_division=0))


# -- multi-label -------------------------------------------------------------------------------


def _mean_average_precision(given: MetricInput) -> float:
    """The mean over the classes that occur; 0 if none does."""
    precisions = average_precisions(given.outputs, given.labels > 0)
    return float(np.mean(list(precisions.values()))) if precisions else 0.0


def average_precisions(probabilities: Floats, truth: NDArray[np.bool_]) -> dict[int, float]:
    """The average precision of each class that occurs; both arrays ``(N, classes)``."""
    from sklearn.metrics import average_precision_score

    return {
        int(i): float(average_precision_score(truth[:, i], probabilities[:, i]))
        for i in np.flatnonzero(truth.any(axis=0))
    }


def _macro_f1_of_sets(given: MetricInput) -> float:
    """The mean over the classes that occur or are predicted."""
    from sklearn.metrics import f1_score

    truth = given.labels > 0
    seen = truth.any(axis=0) | given.predicted.any(axis=0)
    f1 = f1_score(widened(truth), widened(given.predicted), average=None, zero_division=0)[:-1]
    return float(f1[seen].mean()) if seen.any() else 0.0


def _micro_f1(given: MetricInput) -> float:
    from sklearn.metrics import f1_score

    truth = given.labels > 0
    return float(f1_score(truth.ravel(), given.predicted.ravel(), zero_division=0))


def _exact_match(given: MetricInput) -> float:
    return float(((given.labels > 0) == given.predicted).all(axis=1).mean())


def widened(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Append a class that never occurs: scikit-learn treats a single column as binary."""
    return np.hstack([flags, np.zeros((len(flags), 1), dtype=np.bool_)])


# -- regression --------------------------------------------------------------------------------


def _mean_over_columns(
    measure: Callable[[Floats, Floats], float],
) -> Callable[[MetricInput], float]:
    def mean(given: MetricInput) -> float:
        truth = given.labels.astype(np.float64)
        columns = range(truth.shape[1])
        return float(np.mean([measure(truth[:, i], given.predicted[:, i]) for i in columns]))

    return mean


def mae(truth: Floats, given: Floats) -> float:
    """Mean absolute error; both ``(N,)``."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(truth, given))


def rmse(truth: Floats, given: Floats) -> float:
    """Root mean squared error; both ``(N,)``."""
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(truth, given))


def r2(truth: Floats, given: Floats) -> float:
    """R²; for constant true values 1 if all predictions are exact, else 0.

    Both ``(N,)``.
    """
    from sklearn.metrics import r2_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single sample, for which it then gives NaN
        value = float(r2_score(truth, given))
    return float((truth == given).all()) if np.isnan(value) else value


# -- the table ---------------------------------------------------------------------------------

_SINGLE, _MULTI, _NUMBERS = ("single-label",), ("multi-label",), ("regression",)

METRICS: list[Metric] = [
    Metric(
        key="map",
        title="mAP",
        tasks=_MULTI,
        measure=_mean_average_precision,
        leads=True,
        meaning="mean average precision",
    ),
    Metric(
        key="balanced_accuracy",
        title="balanced accuracy",
        tasks=_SINGLE,
        measure=_balanced_accuracy,
        always=False,
        meaning="mean recall of the classes",
    ),
    Metric(
        key="accuracy",
        title="accuracy",
        tasks=_SINGLE,
        measure=_accuracy,
        leads=True,
        share=True,
    ),
    Metric(
        key="macro_f1",
        title="macro F1",
        tasks=_SINGLE,
        measure=_macro_f1,
        meaning="mean over the classes",
    ),
    Metric(
        key="macro_f1",
        title="macro F1",
        tasks=_MULTI,
        measure=_macro_f1_of_sets,
        meaning="mean over the classes",
    ),
    Metric(
        key="micro_f1",
        title="micro F1",
        tasks=_MULTI,
        measure=_micro_f1,
        meaning="over all decisions",
    ),
    Metric(key="accuracy", title="accuracy", tasks=_MULTI, measure=_exact_match, share=True),
    Metric(
        key="mae",
        title="MAE",
        tasks=_NUMBERS,
        measure=_mean_over_columns(mae),
        higher=False,
        meaning="mean absolute error",
    ),
    Metric(
        key="rmse",
        title="RMSE",
        tasks=_NUMBERS,
        measure=_mean_over_columns(rmse),
        higher=False,
        leads=True,
        meaning="root of the mean squared error",
    ),
    Metric(
        key="r2",
        title="R²",
        tasks=_NUMBERS,
        measure=_mean_over_columns(r2),
        meaning="share of the variance explained",
    ),
    Metric(
        key=LOSS,
        title="loss",
        tasks=(),
        measure=None,
        higher=False,
        meaning="lower is better",
    ),
]
"""All metrics, in display order."""


# -- lookup ------------------------------------------------------------------------------------


def metrics_of(task: str) -> dict[str, Metric]:
    """The metrics of a task by key."""
    return {metric.key: metric for metric in METRICS if not metric.tasks or task in metric.tasks}


def metric_of(task: str, key: str) -> Metric:
    """One metric of a task.

    Raises:
        UsageError: The task has no such metric.
    """
    known = metrics_of(task)
    if key not in known:
        raise UsageError(
            f"--metric {key!r} is not a metric of {task} data.{did_you_mean(key, known)}",
            hint=f"Metrics: {', '.join(known)}.",
        )
    return known[key]


def computed(task: str, chosen: str, given: MetricInput) -> dict[str, float]:
    """The metrics of an epoch without the loss: the usual ones and the selection metric."""
    return {
        key: metric.measure(given)
        for key, metric in metrics_of(task).items()
        if metric.measure is not None and (metric.always or key == chosen)
    }


def all_nan(task: str, chosen: str) -> dict[str, float]:
    """The metrics of an epoch as NaN, for outputs that are not finite."""
    return {
        key: float("nan")
        for key, metric in metrics_of(task).items()
        if metric.always or key == chosen
    }


def rank_key(task: str, chosen: str, values: Mapping[str, float]) -> tuple[float, ...]:
    """The sort key of epochs, higher is better: the metric, then the loss."""
    value = values[chosen]
    return value if metrics_of(task)[chosen].higher else -value, -values[LOSS]


def titles() -> dict[str, str]:
    """The titles by key."""
    return {metric.key: metric.title for metric in METRICS}


def main_metric(values: Mapping[str, object], metric: str = "") -> str:
    """The key of the main metric of a run.

    Args:
        values: Metrics by key.
        metric: The selection metric, if known; a loss is hard to interpret, and is replaced by
            another metric.

    Raises:
        KeyError: There is none.
    """
    if metric in values and metric != LOSS:
        return metric
    for each in sorted(METRICS, key=lambda row: not row.leads):
        if each.key in values:
            return each.key
    raise KeyError(next(iter(METRICS)).key)


def formatted(values: Mapping[str, float]) -> str:
    """``accuracy 0.9722, macro F1 0.9721, loss 0.1437``"""
    known = titles()
    return ", ".join(f"{known.get(key, key)} {value:.4f}" for key, value in values.items())
