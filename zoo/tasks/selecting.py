"""What zoo's own tasks have in common: a selection metric, and what follows from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.contract.extensions import MetricInput
from zoo.data.samples import LabelArray
from zoo.tasks import metrics as measures
from zoo.tasks.metric_table import LOSS
from zoo.tasks.metrics import Selection


@dataclass(frozen=True)
class SelectingTask(ABC):
    """A task with a selection metric; see :class:`zoo.tasks.task.Task`.

    Attributes:
        selection: The selection metric.
    """

    selection: Selection

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    usual_loss: ClassVar[str]

    @property
    def metric(self) -> str:
        """The key of the selection metric."""
        return self.selection.key

    def selecting(self, metric: Selection) -> Self:
        """The same task with another metric."""
        return replace(self, selection=metric)

    def to_json(self) -> dict[str, Any]:
        """Its name and metric."""
        return {"name": self.name, "metric": self.metric}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], selection: Selection) -> Self:
        """The inverse of :meth:`to_json`."""
        del data
        return cls(selection=selection)

    # -- values ----------------------------------------------------------------------------------

    @abstractmethod
    def decode(self, logits: Tensor) -> NDArray[np.float64]:
        """From logits to probabilities, or values in the user's units."""

    @abstractmethod
    def encode(self, outputs: NDArray[np.float64]) -> Tensor:
        """The inverse of :meth:`decode`."""

    @abstractmethod
    def decided(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """Predictions as metrics get them; see :class:`zoo.MetricInput`."""

    @abstractmethod
    def mean_loss(self, logits: Tensor, labels: LabelArray, *, smoothing: float = 0.0) -> float:
        """The mean of its usual loss."""

    def best_thresholds(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> NDArray[np.float64] | None:
        """None: a task without thresholds."""
        del outputs, labels
        return None

    def conformity(
        self, outputs: NDArray[np.float64], labels: LabelArray
    ) -> NDArray[np.float64] | None:
        """None: a task without prediction sets."""
        del outputs, labels
        return None

    def promised(
        self, outputs: NDArray[np.float64], limits: Sequence[float], classes: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Nothing: a task without prediction sets."""
        del limits, classes
        return [{} for _ in outputs]

    def promised_tensors(self, logits: Tensor, limits: Sequence[float]) -> dict[str, Tensor]:
        """Nothing: a task without prediction sets."""
        del logits, limits
        return {}

    def compute_metrics(
        self,
        logits: Tensor,
        labels: LabelArray,
        classes: Sequence[str] = (),
        remarks: list[str] | None = None,
    ) -> dict[str, float]:
        """The metrics, and ``loss``, the mean of the usual loss."""
        if not logits.isfinite().all():
            return measures.all_nan(self, self.selection)
        given = self._given(self.decode(logits), labels, classes, remarks)
        values = measures.computed(self, self.selection, given)
        return {**values, LOSS: self.mean_loss(logits, labels)}

    def value(
        self, outputs: NDArray[np.float64], labels: LabelArray, classes: Sequence[str]
    ) -> float:
        """The selection metric alone; NaN if an output is not finite, or if it is undefined."""
        if not np.isfinite(outputs).all():
            return math.nan
        if self.metric == LOSS:
            return self.mean_loss(self.encode(outputs), labels)
        return self.selection.value(self, self._given(outputs, labels, classes, None))

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The metric; of equals, the loss."""
        return measures.rank_key(self.selection, metrics)

    def _given(
        self,
        outputs: NDArray[np.float64],
        labels: LabelArray,
        classes: Sequence[str],
        remarks: list[str] | None,
    ) -> MetricInput:
        return MetricInput(
            predicted=self.decided(outputs),
            outputs=outputs,
            labels=labels,
            classes=classes or [str(place) for place in range(outputs.shape[1])],
            remarks=[] if remarks is None else remarks,
        )
