"""What the outputs of a network mean: what they are trained to be, and how good they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.contract.metric_names import THRESHOLD
from zoo.data.samples import LabelArray, Splits, TaskName
from zoo.errors import RunError
from zoo.tasks.criteria import criteria_of, default_metric, ranked
from zoo.tasks.metrics import (
    Evaluation,
    average_precisions,
    balanced_accuracy,
    class_rows,
    confusion_of,
    multi_label_figures,
    number_rows,
    regression_figures,
    single_label_figures,
)

_LEAST = 1e-300
"""Stands for a probability of 0, whose logarithm is no number."""

_SMALL = 1e-15
"""How near 0 or 1 a probability may be for its odds to be numbers."""


class Task(Protocol):
    """What the outputs of a network mean."""

    @property
    def name(self) -> TaskName:
        """As in ``--task``."""

    @property
    def metric(self) -> str:
        """The key of the metric that epochs are compared by; see :mod:`zoo.tasks.criteria`."""

    def targets(self, labels: Tensor) -> Tensor:
        """What a loss compares the outputs with, on the device of ``labels``.

        Args:
            labels: As batches hold them: ``(B,)`` class indices, or ``(B, outputs)``.
        """

    def headline(self, logits: Tensor, labels: LabelArray) -> dict[str, float]:
        """The figures of an epoch, ``loss`` among them; NaN where an output is not finite.

        Args:
            logits: ``(N, outputs)``, on the CPU.
            labels: ``(N,)`` class indices, or ``(N, outputs)``.
        """

    def score(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """What epochs are compared by, of the figures of :meth:`headline`: higher is better."""

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """What is said of each sample, ``(N, outputs)``: probabilities, or numbers."""

    def encode(self, said: NDArray[np.float64]) -> Tensor:
        """Logits of which :meth:`decode` makes ``said``, up to rounding: ``(N, outputs)``."""

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Everything that ``zoo evaluate`` prints."""

    def to_json(self) -> dict[str, Any]:
        """What ``run.json`` keeps of it."""


@dataclass(frozen=True)
class SingleLabel:
    """One class a sample: softmax and cross-entropy.

    Attributes:
        metric: Chooses the best epoch; ``balanced_accuracy`` is measured only where it does.
    """

    metric: str = "accuracy"
    name: TaskName = "single-label"

    def targets(self, labels: Tensor) -> Tensor:
        """Class indices, ``(B,)`` of int64."""
        return labels

    def headline(self, logits: Tensor, labels: LabelArray) -> dict[str, float]:
        """``accuracy``, ``macro_f1``, and ``loss``, the mean cross-entropy in nats."""
        loss = functional.cross_entropy(logits.double(), torch.from_numpy(labels))
        predicted = _best(logits)
        figures = {**single_label_figures(predicted, labels), "loss": float(loss)}
        if self.metric == "balanced_accuracy":
            return {"balanced_accuracy": balanced_accuracy(predicted, labels), **figures}
        return figures

    def score(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """The metric; of equals, the loss."""
        return ranked(self.name, self.metric, figures)

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Probabilities that add up to 1."""
        return np.asarray(logits.double().softmax(dim=1).numpy())

    def encode(self, said: NDArray[np.float64]) -> Tensor:
        """The logarithms."""
        return torch.from_numpy(said).clamp(min=_LEAST).log()

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Each class, and how often it is taken for another."""
        predicted = _best(logits)
        return Evaluation(
            self.headline(logits, labels),
            class_rows(predicted, labels, classes),
            len(labels),
            confusion_of(predicted, labels, classes),
        )

    def to_json(self) -> dict[str, Any]:
        """Its name and metric."""
        return {"name": self.name, "metric": self.metric}


@dataclass(frozen=True)
class MultiLabel:
    """Any number of classes a sample: a sigmoid and binary cross-entropy for each.

    Attributes:
        metric: Chooses the best epoch.
    """

    metric: str = "map"
    name: TaskName = "multi-label"

    def targets(self, labels: Tensor) -> Tensor:
        """0 and 1, ``(B, classes)`` of float32."""
        return labels.float()

    def headline(self, logits: Tensor, labels: LabelArray) -> dict[str, float]:
        """``map``, ``macro_f1``, ``micro_f1``, ``accuracy`` (all classes right), and ``loss``.

        F1 and accuracy are at a threshold of 0.5; ``loss`` is the mean binary cross-entropy.
        """
        if not logits.isfinite().all():
            return dict.fromkeys(("map", "macro_f1", "micro_f1", "accuracy", "loss"), math.nan)
        truth = torch.from_numpy(labels).double()
        loss = functional.binary_cross_entropy_with_logits(logits.double(), truth)
        chances = self.decode(logits)
        figures = multi_label_figures(chances, chances >= THRESHOLD, labels)
        return {**figures, "loss": float(loss)}

    def score(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """The metric; of equals, the loss."""
        return ranked(self.name, self.metric, figures)

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Probabilities, each in [0, 1] for itself."""
        return np.asarray(logits.double().sigmoid().numpy())

    def encode(self, said: NDArray[np.float64]) -> Tensor:
        """The logarithms of the odds."""
        return torch.from_numpy(said).logit(eps=_SMALL)

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Each class; without average precision where it does not occur."""
        chances = self.decode(logits)
        rows = class_rows(chances >= THRESHOLD, labels, classes)
        for place, precision in average_precisions(chances, labels > 0).items():
            rows[classes[place]]["average_precision"] = precision
        return Evaluation(self.headline(logits, labels), rows, len(labels))

    def to_json(self) -> dict[str, Any]:
        """Its name and metric."""
        return {"name": self.name, "metric": self.metric}


@dataclass(frozen=True)
class Regression:
    """One or more numbers a sample: squared error of numbers that are standardised.

    Attributes:
        mean: Of each column in the training split.
        std: Their standard deviations, none of them 0.
        metric: Chooses the best epoch.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    metric: str = "loss"
    name: TaskName = "regression"

    def targets(self, labels: Tensor) -> Tensor:
        """Standard deviations from the mean, ``(B, targets)`` of float32."""
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        apart = labels - mean.to(labels.device, labels.dtype)  # (B, targets)
        return (apart / std.to(labels.device, labels.dtype)).float()

    def headline(self, logits: Tensor, labels: LabelArray) -> dict[str, float]:
        """``mae``, ``rmse``, ``r2``, and ``loss``, the mean squared error when standardised."""
        if not logits.isfinite().all():
            return dict.fromkeys(("mae", "rmse", "r2", "loss"), math.nan)
        figures = regression_figures(self.decode(logits), labels.astype(np.float64))
        wanted = self.targets(torch.from_numpy(labels).double())
        loss = functional.mse_loss(logits.double(), wanted.double())
        return {**figures, "loss": float(loss)}

    def score(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """The metric; of equals, the loss, in which no column outweighs another by its units.

        For a single column the order of the loss is that of the RMSE.
        """
        return ranked(self.name, self.metric, figures)

    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """Numbers in the user's units."""
        return np.asarray(logits.double().numpy() * np.array(self.std) + np.array(self.mean))

    def encode(self, said: NDArray[np.float64]) -> Tensor:
        """Standard deviations from the mean."""
        return torch.from_numpy((said - np.array(self.mean)) / np.array(self.std))

    def evaluation(self, logits: Tensor, labels: LabelArray, classes: Sequence[str]) -> Evaluation:
        """Each column."""
        rows = number_rows(self.decode(logits), labels.astype(np.float64), classes)
        return Evaluation(self.headline(logits, labels), rows, len(labels))

    def to_json(self) -> dict[str, Any]:
        """Its name and metric, and what makes numbers of outputs."""
        return {
            "name": self.name,
            "metric": self.metric,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def task_of(splits: Splits, metric: str | None = None, *, rare: bool = False) -> Task:
    """The task that the data set, with what it has to know of the training split.

    Args:
        splits: The data.
        metric: The metric that chooses the best epoch; ``None`` for what fits.
        rare: Whether rare classes are to count as much as others.

    Raises:
        UsageError: The task has no such metric.
    """
    chosen = metric or default_metric(splits.task, rare=rare)
    criteria_of(splits.task, chosen)
    if splits.task == "single-label":
        return SingleLabel(chosen)
    if splits.task == "multi-label":
        return MultiLabel(chosen)
    assert splits.train.labels is not None
    values = splits.train.labels.astype(np.float64)  # (N, targets)
    mean, std = tuple(values.mean(axis=0).tolist()), tuple(values.std(axis=0).tolist())
    return Regression(mean, std, chosen)


def task_from_json(data: Mapping[str, Any] | None) -> Task:
    """The inverse of ``to_json``; ``None`` is a run from before there were several tasks.

    Raises:
        RunError: It is no task that this zoo knows.
        UsageError: The task has no such metric.
    """
    data = data or {"name": "single-label"}
    name = data["name"]
    if name not in ("single-label", "multi-label", "regression"):
        raise RunError(
            f"the run's task is {name!r}, which this zoo does not know",
            hint="Upgrade zoo: pip install -U zoo-finetune",
        )
    metric = data.get("metric") or default_metric(name)
    criteria_of(name, metric)
    if name == "single-label":
        return SingleLabel(metric)
    if name == "multi-label":
        return MultiLabel(metric)
    return Regression(tuple(data["mean"]), tuple(data["std"]), metric)


def _best(logits: Tensor) -> NDArray[np.int64]:
    """The class with the largest output, ``(N,)``."""
    return np.asarray(logits.argmax(dim=1).numpy())
