"""A loaded ensemble that predicts a few inputs at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.modalities.preparing import PreparedInput
from zoo.runs.predictor import LimitsOf, Predictor
from zoo.tasks.task import Task


class EnsemblePredictor(Predictor):
    """The mean of the probabilities, or of the values, of several predictors.

    Args:
        members: Those of the members.
        columns: For each member, where its outputs have the classes of the ensemble.
        task: What the outputs mean.
        classes: Names of classes or regression targets.
        temperature: The number that the ensemble's logits are divided by.
        limits: As of :class:`Predictor`.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        columns: Sequence[Sequence[int]],
        *,
        task: Task,
        classes: Sequence[str],
        temperature: float,
        limits: LimitsOf,
    ) -> None:
        first = members[0]
        super().__init__(
            first._forward,
            preparer=first._preparer,
            task=task,
            classes=classes,
            temperature=temperature,
            limits=limits,
        )
        self._members, self._columns = members, columns

    def outputs(self, prepared: Sequence[PreparedInput]) -> NDArray[np.float64]:
        """The logits of the mean; each further member prepares the inputs for itself."""
        each = []
        for number, member in enumerate(self._members):
            own = prepared
            if number:
                own = [member.prepare(one.raw, one.name) for one in prepared]
            found = member._task.decode(torch.from_numpy(member.outputs(own)))
            each.append(found[:, self._columns[number]])
        return np.asarray(self._task.encode(np.mean(each, axis=0)).double().numpy())
