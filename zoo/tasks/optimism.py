"""How far a validation metric may be off: by the draw of samples, and by choosing the best epoch on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import LabelArray
from zoo.tasks.task import Task

LEAST = 20
"""Independent units, samples or groups, below which a bootstrap says nothing."""

_MOST, _FEWEST = 500, 50  # resamples
_EVALUATIONS = 800  # of a metric that has no value per sample; each takes a millisecond or two
_SAMPLES = 4_000_000  # in all these evaluations

Values = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From how often each unit is drawn to the metric by epoch, its sign turned if lower is better."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The confidence interval of the selection metric.

    Attributes:
        metric: Its key.
        value: At the chosen epoch.
        corrected: What is to be expected on new samples: without the gain from choosing the epoch.
        low: The lower end of the 95 % interval, around ``corrected``.
        high: The upper end.
        method: ``bootstrap`` or ``wilson``.
        epochs: How many epochs the choice was among.
        units: Number of samples, or of groups, that were drawn.
        unit: ``samples`` or ``groups``.
        samples: Number of samples.
        resamples: Number of bootstrap samples.
    """

    metric: str
    value: float
    corrected: float
    low: float
    high: float
    method: str
    epochs: int
    units: int
    unit: str
    samples: int
    resamples: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """The metric as a bootstrap needs it.

    Attributes:
        values: By epoch, the higher the better.
        resamples: How many of them can be afforded.
        share: Whether it is the share of samples that are right.
        independent: Whether each sample is drawn alone.
    """

    values: Values
    resamples: int
    share: bool
    independent: bool


def interval(
    task: Task,
    outputs: Sequence[NDArray[np.float64]],
    labels: LabelArray,
    classes: Sequence[str],
    groups: NDArray[Any] | None,
) -> Interval | None:
    """The interval of the selection metric at the best of several epochs.

    The bootstrap draws groups where they are known, whose samples are not independent, else samples.
    The gain from the choice is corrected as by Tsamardinos et al. 2018
    (doi:10.1007/s10994-018-5714-4): in each bootstrap sample the best epoch is chosen again, and
    its metric on the samples that were not drawn is free of the choice. The percentiles of the
    metric at the chosen epoch are shifted by the same amount.

    A share of independent samples, such as accuracy, gets a Wilson interval around the corrected
    value instead, since a bootstrap of samples that are all right has no width; so does a share
    that is the same in all groups, each counted once.

    Args:
        task: With its selection metric.
        outputs: By epoch, ``(N, outputs)`` for the same samples.
        labels: Their labels.
        classes: Class names or target columns.
        groups: ``(N,)``, their groups; ``None`` if unknown.

    Returns:
        ``None`` if there are fewer than :data:`LEAST` units, if the metric is undefined or, as
        an AUROC of 1, the same in all bootstrap samples, or if it would take too long.
    """
    unit_of = (
        np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    units = int(unit_of.max()) + 1
    if units < LEAST:
        return None
    measure = _measure(task, outputs, labels, classes, unit_of)
    whole = measure.values(np.ones(units, dtype=np.int64))
    if measure.resamples < _FEWEST or not np.isfinite(whole).any():
        return None
    best = int(np.nanargmax(whole))
    at_best, gain = _bootstrap(measure, units, whole)
    if np.isnan(at_best).mean() > 0.5:
        return None
    sign = 1.0 if task.selection.metric.higher else -1.0
    corrected = float(sign * (whole[best] - gain))
    narrow = bool(np.nanmin(at_best) == np.nanmax(at_best))
    by_share = measure.share and (measure.independent or narrow)
    if by_share:
        low, high = wilson(corrected, units)
    elif narrow:
        return None
    else:
        low, high = sorted(sign * (np.nanquantile(at_best, (0.025, 0.975)) - gain))
    return Interval(
        metric=task.metric,
        value=float(sign * whole[best]),
        corrected=corrected,
        low=float(low),
        high=float(high),
        method="wilson" if by_share else "bootstrap",
        epochs=len(outputs),
        units=units,
        unit="samples" if groups is None else "groups",
        samples=len(labels),
        resamples=measure.resamples,
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` independent samples (Wilson 1927).

    Args:
        share: From 0 to 1; it need not be a multiple of ``1 / count``.
        count: At least 1.

    Returns:
        Both ends, from 0 to 1.
    """
    square = 1.959964**2 / count
    middle = share + square / 2
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return max(0.0, low), min(1.0, high)


def _bootstrap(
    measure: _Measure, units: int, whole: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The metric at the best epoch in each bootstrap sample, and the gain from choosing that epoch."""
    best = int(np.nanargmax(whole))
    draw = np.random.default_rng(0)
    at_best, unseen = [], []
    for _ in range(measure.resamples):
        counts = np.bincount(draw.integers(units, size=units), minlength=units)
        inside, rest = measure.values(counts), (counts == 0).astype(np.int64)
        at_best.append(inside[best])
        if len(whole) > 1 and rest.any() and np.isfinite(inside).any():
            unseen.append(measure.values(rest)[int(np.nanargmax(inside))])
    gain = whole[best] - float(np.nanmean(unseen)) if np.isfinite(unseen).any() else 0.0
    return np.array(at_best), max(0.0, gain)


def _measure(
    task: Task,
    outputs: Sequence[NDArray[np.float64]],
    labels: LabelArray,
    classes: Sequence[str],
    unit_of: NDArray[np.int64],
) -> _Measure:
    sign = 1.0 if task.selection.metric.higher else -1.0
    scores = np.array([task.sample_scores(each, labels) for each in outputs], dtype=np.float64)
    means = [task.value(each, labels, classes) for each in outputs]
    if np.allclose(scores.mean(axis=1), means, atol=1e-12):  # a mean over the samples
        sums = np.array([np.bincount(unit_of, weights=row) for row in scores])  # (epochs, units)
        sizes = np.bincount(unit_of).astype(np.float64)

        def means_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
            drawn = counts.astype(np.float64)
            return np.asarray(sign * (sums @ drawn) / (sizes @ drawn))

        return _Measure(
            values=means_of,
            resamples=_MOST,
            share=task.selection.metric.share,
            independent=len(sizes) == len(labels),
        )

    def values(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        indices = np.repeat(np.arange(len(labels)), counts[unit_of])
        chosen = labels[indices]
        return np.array([sign * _value(task, each[indices], chosen, classes) for each in outputs])

    evaluations = min(_EVALUATIONS, _SAMPLES // len(labels))
    resamples = min(_MOST, evaluations // (2 * len(outputs)))
    return _Measure(values=values, resamples=resamples, share=False, independent=False)


def _value(
    task: Task, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
) -> float:
    try:
        return task.value(outputs, labels, classes)
    except ValueError:  # of scikit-learn, for a draw without one of the classes
        return math.nan


def in_words(found: Interval | dict[str, Any], title: str) -> str:
    """The interval in a line."""
    known = found.to_json() if isinstance(found, Interval) else found
    method = "bootstrap" if known["method"] == "bootstrap" else "Wilson interval"
    text = (
        f"95 % interval of the {title}: {known['low']:.4f} to {known['high']:.4f} "
        f"({method} of {known['units']:,} {known['unit']})"
    )
    if known["epochs"] > 1:
        text += f"; {known['corrected']:.4f} without the gain from choosing among {known['epochs']} epochs"
    return text
