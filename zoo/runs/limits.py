"""What is asked of predictions: probability thresholds, prediction sets, and refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import UsageError, closest
from zoo.runs.calibration_file import CALIBRATION, FittedCalibration, Scores
from zoo.runs.opened import OpenedRun
from zoo.tasks.metrics import THRESHOLD
from zoo.tasks.predictions import AnyPrediction
from zoo.tasks.task import Task

Threshold: TypeAlias = float | Mapping[str, float] | Literal["fitted"] | None
"""For all classes; by class, 0.5 for those that are not named; or those of ``calibration.json``."""

FITTED = "fitted"


@dataclass(frozen=True)
class PredictionLimits:
    """From what on something is said of an input.

    Attributes:
        threshold: Probability from which a label is predicted, or by class; multi-label only.
        member: Probability from which a class is in the prediction set; ``None`` without sets.
        energy: Energy above which an input is rejected; ``None`` without refusal.
    """

    threshold: float | Mapping[str, float]
    member: float | None
    energy: float | None

    def applied(
        self,
        predictions: Sequence[AnyPrediction],
        task: Task,
        outputs: NDArray[np.float64],
        logits: Tensor,
        classes: Sequence[str],
    ) -> list[AnyPrediction]:
        """The predictions with their sets, and whether they are rejected.

        Args:
            predictions: One per input.
            task: The run's.
            outputs: Their probabilities, ``(N, classes)``.
            logits: Their logits, on the CPU.
            classes: Class names.
        """
        added: list[dict[str, Any]] = [{} for _ in predictions]
        if self.member is not None:
            for place, row in zip(added, outputs, strict=True):
                order = np.argsort(-row, kind="stable")
                members = tuple(classes[i] for i in order if row[i] >= self.member)
                place["prediction_set"] = members
        if self.energy is not None:
            energies = task.energies(logits)
            assert energies is not None
            for place, energy in zip(added, energies.tolist(), strict=True):
                place["rejected"] = not energy <= self.energy  # NaN is rejected
        changed: list[Any] = list(predictions)
        return [replace(each, **more) for each, more in zip(changed, added, strict=True)]


def limits_of(
    run: OpenedRun, threshold: Threshold, coverage: float | None, reject: float | None
) -> PredictionLimits:
    """The limits for what is asked of a run.

    Args:
        run: The run.
        threshold: See :data:`Threshold`.
        coverage: Probability, in (0, 1), that a prediction set holds the true class.
        reject: Share, in (0, 1), of inputs like the validation samples that is rejected.

    Raises:
        UsageError: A value is out of range, a class is unknown, the task does not have this, or the
            run has no calibration or too few samples for it.
    """
    limit = energy = None
    if coverage is not None:
        score = _quantile(run, "--coverage", coverage, coverage)
        limit = 1 - score - 1e-12  # a sum of floats may be off by that
    if reject is not None:
        energy = _quantile(run, "--reject", reject, 1 - reject)
    return PredictionLimits(_threshold(run, threshold), limit, energy)


def _quantile(run: OpenedRun, option: str, given: float, share: float) -> float:
    if not 0 < given < 1:
        raise UsageError(
            f"{option} must be between 0 and 1, got {given:g}",
            hint="For example --coverage 0.9, or --reject 0.05.",
        )
    found = _calibration(run, option)
    scores: Scores | None = {"--coverage": found.conformal, "--reject": found.energy}[option]
    if scores is None:
        folds = run.record["results"].get("folds")
        why = "a run with --folds" if option == "--reject" and folds else run.task.name
        raise UsageError(
            f"{option} does not apply to {run.folder}, which is {why}", hint=f"Leave {option} out."
        )
    value = scores.quantile(share)
    if value is None:
        raise UsageError(
            f"{option} {given:g} needs more held-out samples than the {scores.samples:,} of "
            f"{run.folder}",
            hint="Train with a larger validation split (--val-split), or choose another value.",
        )
    return value


def _calibration(run: OpenedRun, option: str) -> FittedCalibration:
    if run.calibration is None:
        raise UsageError(
            f"{option} needs {CALIBRATION}, which {run.folder} does not have",
            hint="Runs for classification with at least 20 validation samples have it.",
        )
    return run.calibration


def _threshold(run: OpenedRun, given: Threshold) -> float | Mapping[str, float]:
    if given is None:
        return THRESHOLD
    if not run.task.several:
        raise UsageError(
            f"--threshold is for multi-label runs, and {run.folder} is {run.task.name}",
            hint="Leave --threshold out.",
        )
    if given == FITTED:
        limits = _calibration(run, f"--threshold {FITTED}").thresholds
        assert limits is not None
        return limits
    if isinstance(given, str):
        raise UsageError(
            f"--threshold must be a number, a number by class, or {FITTED!r}, got {given!r}",
            hint="For example --threshold 0.3, or --threshold cat=0.3.",
        )
    if not isinstance(given, Mapping):
        return _in_range(given)
    for name in given:
        if name not in run.classes:
            near = ", ".join(closest(name, run.classes))
            raise UsageError(
                f"--threshold: {run.folder} has no class {name!r}",
                hint=f"Closest: {near}." if near else f"It has: {', '.join(run.classes[:10])}.",
            )
    return {name: _in_range(given.get(name, THRESHOLD)) for name in run.classes}


def _in_range(given: float) -> float:
    if not 0 <= given <= 1:
        raise UsageError(
            f"--threshold must be in [0, 1], got {given:g}",
            hint="It is the probability from which a label is predicted.",
        )
    return given
