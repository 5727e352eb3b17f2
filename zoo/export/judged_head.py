"""A head that also says what the limits of predictions say: sets, intervals, labels, refusal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.network.backbone import Backbone
from zoo.runs.limits import PredictionLimits
from zoo.runs.run import Run


class JudgedHead(nn.Module):
    """From features ``(B, feature_dim)`` to outputs by name.

    ``logits`` is ``(B, outputs)``, divided by the temperature. What is asked for comes after it:
    ``distance`` and ``rejected``, both ``(B,)``; and what the task makes of the other limits.

    Args:
        head: The run's head.
        run: The run.
        limits: What is asked of its predictions.
    """

    bank: Tensor | None

    def __init__(self, head: nn.Module, run: Run, limits: PredictionLimits) -> None:
        super().__init__()
        self._head, self._task, self._temperature = head, run.task, run.temperature
        self._width = run.spec.feature_dim
        self._conformal, self._distance = limits.conformal, limits.distance
        self._thresholds: list[float] | None = None
        if run.task.several or isinstance(limits.threshold, Mapping):
            self._thresholds = limits.by_class(run.classes)
        self.register_buffer("bank", None)
        if self._distance is not None:
            assert run.bank is not None
            self.bank = run.bank.features.float()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs, in their order."""
        with torch.no_grad():
            return tuple(self(torch.zeros(1, self._width)))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """See the class."""
        raw = self._head(features)  # (B, outputs)
        found = {"logits": raw / self._temperature}
        if self._conformal is not None:
            found |= self._task.promised_tensors(raw, self._conformal)
        if self._thresholds is not None:
            logits, several = found["logits"], self._task.several
            chances = logits.sigmoid() if several else logits.softmax(dim=1)
            found["labels"] = chances >= torch.tensor(self._thresholds)
        if self.bank is not None:
            cosines = functional.normalize(features.float(), dim=1) @ self.bank.T
            found["distance"] = 1 - cosines.amax(dim=1)
            found["rejected"] = ~(found["distance"] <= self._distance)
        return found


def output_names(backbone: Backbone) -> list[str]:
    """The names of a network's outputs: ``logits``, and what limits add."""
    return list(backbone.head.names) if isinstance(backbone.head, JudgedHead) else ["logits"]


def by_name(outputs: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a network by name; ``logits`` where there is only that."""
    return {"logits": outputs} if isinstance(outputs, Tensor) else dict(outputs)


MEANINGS = {
    "in_set": "(batch, classes), bool: whether a class is in the prediction set",
    "low": "(batch, targets), the lower end of each interval, standardised as the outputs are",
    "high": "(batch, targets), the upper end",
    "labels": "(batch, classes), bool: whether a class reaches its threshold",
    "distance": "(batch), the distance of the features from those of training samples, in [0, 2]",
    "rejected": "(batch), bool: whether that is farther than usual",
}
