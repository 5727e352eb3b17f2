"""From what probability on a label is predicted: numbers, or what held-out samples say is best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RunError, UsageError, closest
from zoo.runs.opened import OpenedRun
from zoo.tasks.measures import best_f1_threshold, cheapest_threshold
from zoo.tasks.metrics import THRESHOLD

Threshold: TypeAlias = float | str | Mapping[str, float | str] | None
"""For all classes, or by class (0.5 for those that are not named): a probability; ``f1``, the one with
the highest F1 on the validation samples; or ``cost:R``, the cheapest one there, if a missed label
costs R times as much as a false one."""

F1, COST = "f1", "cost:"

_EXAMPLES = (
    "For example --threshold 0.3, --threshold cat=0.3, --threshold f1, or --threshold cost:5."
)


def thresholds_of(run: OpenedRun, given: Threshold) -> float | Mapping[str, float]:
    """The probability thresholds, one for all classes or by class.

    Raises:
        UsageError: The run has no thresholds, a class is unknown, a value is not valid, or the
            validation samples are too few or not there.
    """
    if given is None:
        return THRESHOLD
    pair = run.task.has_classes and len(run.classes) == 2 and not run.task.several
    if not run.task.several and not (pair and isinstance(given, Mapping) and len(given) == 1):
        raise UsageError(
            f"--threshold is for multi-label runs, and {run.folder} is {run.task.name}",
            hint="Leave --threshold out. With two classes, name one: --threshold CLASS=P.",
        )
    if isinstance(given, int | float):
        return _in_range(given)
    by_class = given if isinstance(given, Mapping) else dict.fromkeys(run.classes, given)
    _check_names(run, by_class)
    best = _Best(run)
    chosen = {name: best.value(name, value) for name, value in by_class.items()}
    for name in run.classes:
        other = 1 - next(iter(chosen.values())) if pair else THRESHOLD
        chosen.setdefault(name, other)
    return chosen


class _Best:
    """Thresholds that are fitted on the validation samples of a run."""

    def __init__(self, run: OpenedRun) -> None:
        self._run = run
        self._held_out = cache(self._read)

    def value(self, name: str, given: float | str) -> float:
        """The threshold of a class."""
        if isinstance(given, int | float):
            return _in_range(given)
        if given == F1:
            found = self._run.calibration
            if found and found.thresholds:
                return found.thresholds[name]
            truth, scores = self._of(name)
            return best_f1_threshold(truth, scores) if truth.any() else THRESHOLD
        ratio = _ratio(given)
        truth, scores = self._of(name)
        return cheapest_threshold(truth, scores, ratio) if truth.any() else 1 / (1 + ratio)

    def _of(self, name: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Whether each held-out sample has the class, and its calibrated probability."""
        outputs, labels = self._held_out()
        place = self._run.classes.index(name)
        return (labels[:, place] > 0 if labels.ndim == 2 else labels == place), outputs[:, place]

    def _read(self) -> tuple[NDArray[np.float64], NDArray[Any]]:
        run = self._run
        try:
            kept = run.kept_predictions()
        except RunError as error:
            raise UsageError(
                f"--threshold {F1} and {COST}R need the validation predictions: {error.message}",
                hint="Give probabilities: --threshold 0.3, or --threshold CLASS=0.3.",
            ) from error
        logits = run.task.encode(kept.outputs)
        return run.task.decode(logits / run.temperature), kept.labels


def _ratio(given: str) -> float:
    """The number in ``cost:R``."""
    try:
        ratio = float(given.removeprefix(COST)) if given.startswith(COST) else math.nan
    except ValueError:
        ratio = math.nan
    if not 0 < ratio < math.inf:
        raise UsageError(
            f"--threshold must be a probability, {F1!r}, or {COST}R with R above 0, got {given!r}",
            hint=_EXAMPLES,
        )
    return ratio


def _check_names(run: OpenedRun, given: Mapping[str, float | str]) -> None:
    for name in given:
        if name not in run.classes:
            near = ", ".join(closest(name, run.classes))
            raise UsageError(
                f"--threshold: {run.folder} has no class {name!r}",
                hint=f"Closest: {near}." if near else f"It has: {', '.join(run.classes[:10])}.",
            )


def _in_range(given: float) -> float:
    if not 0 <= given <= 1:
        raise UsageError(
            f"--threshold must be in [0, 1], got {given:g}",
            hint="It is the probability from which a label is predicted.",
        )
    return given
