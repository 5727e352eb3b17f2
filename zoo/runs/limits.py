"""What is asked of predictions: probability thresholds, prediction sets, and refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from zoo.errors import UsageError
from zoo.runs.calibration_file import CALIBRATION, FittedCalibration, Scores
from zoo.runs.opened import OpenedRun
from zoo.runs.thresholds import Threshold as Threshold
from zoo.runs.thresholds import thresholds_of
from zoo.tasks.metrics import THRESHOLD
from zoo.tasks.predictions import AnyPrediction
from zoo.tasks.task import Task


@dataclass(frozen=True)
class PredictionLimits:
    """From what on something is said of an input.

    Attributes:
        threshold: Probability from which a label is predicted, or by class.
        conformal: Largest scores within a prediction set or interval; ``None`` without them.
        distance: Distance from the training samples above which an input is rejected; ``None``
            without refusal.
        usual: Distances of validation samples; ``None`` likewise.
    """

    threshold: float | Mapping[str, float] = THRESHOLD
    conformal: tuple[float, ...] | None = None
    distance: float | None = None
    usual: Scores | None = None

    def by_class(self, classes: Sequence[str]) -> list[float]:
        """The probability threshold of each class."""
        given = self.threshold
        return [given[name] if isinstance(given, Mapping) else given for name in classes]

    def applied(
        self,
        predictions: Sequence[AnyPrediction],
        task: Task,
        rows: Tensor,
        classes: Sequence[str],
    ) -> list[AnyPrediction]:
        """The predictions with their sets or intervals, and whether they are rejected.

        Args:
            predictions: One per input.
            task: The run's.
            rows: Their logits, before the temperature, on the CPU; for a refusal with their distance
                as one more column.
            classes: Class names, or target columns.
        """
        added: list[dict[str, Any]] = [{} for _ in predictions]
        if self.conformal is not None:
            outputs = task.decode(rows[:, : len(classes)])
            added = task.promised(outputs, self.conformal, classes)
        if self.distance is not None:
            assert self.usual is not None
            for fields, distance in zip(added, rows[:, len(classes)].tolist(), strict=True):
                fields["rejected"] = not distance <= self.distance  # NaN is rejected
                fields["ood"] = self.usual.share_below(distance)
        changed: list[Any] = list(predictions)
        return [replace(each, **more) for each, more in zip(changed, added, strict=True)]


def limits_of(
    run: OpenedRun, threshold: Threshold, coverage: float | None, reject: float | None
) -> PredictionLimits:
    """The limits for what is asked of a run.

    Args:
        run: The run.
        threshold: See :data:`Threshold`.
        coverage: Probability, in (0, 1), that a prediction set holds the true class, or an interval
            the true value of a target.
        reject: Share, in (0, 1), of inputs like the validation samples that is rejected.

    Raises:
        UsageError: A value is out of range, a class is unknown, the task does not have this, or the
            run has no calibration or too few samples for it.
    """
    conformal = distance = usual = None
    if coverage is not None:
        _check_share("--coverage", coverage)
        scores = _calibration(run, "--coverage").conformal
        conformal = tuple(_quantile(run, "--coverage", coverage, coverage, each) for each in scores)
        if not conformal:
            raise UsageError(
                f"--coverage does not apply to {run.folder}, which is {run.task.name}: sets of labels "
                "have no promised coverage",
                hint="Leave --coverage out; --threshold decides on each label.",
            )
    if reject is not None:
        _check_share("--reject", reject)
        usual = _calibration(run, "--reject").distance
        if usual is None or run.bank is None:
            raise UsageError(
                f"--reject needs features of training samples, which {run.folder} does not keep",
                hint="Runs without --folds keep them, copies on the Hub do not.",
            )
        distance = _quantile(run, "--reject", reject, 1 - reject, usual)
    return PredictionLimits(thresholds_of(run, threshold), conformal, distance, usual)


def _check_share(option: str, given: float) -> None:
    if not 0 < given < 1:
        raise UsageError(
            f"{option} must be between 0 and 1, got {given:g}",
            hint="For example --coverage 0.9, or --reject 0.05.",
        )


def _quantile(run: OpenedRun, option: str, given: float, share: float, scores: Scores) -> float:
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
            hint="Runs with at least 20 validation samples have it.",
        )
    return run.calibration
