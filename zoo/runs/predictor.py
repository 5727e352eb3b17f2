"""A loaded run that predicts a few inputs at a time, as a server needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.samples import Samples
from zoo.data.sequences import Listed, Raw
from zoo.engine.forward import FeatureScore, Forward
from zoo.modalities import modality_of
from zoo.modalities.preparing import PreparedInput as PreparedInput
from zoo.modalities.preparing import Preparer
from zoo.runs.feature_bank import FeatureBank
from zoo.runs.limits import PredictionLimits, Threshold
from zoo.runs.predictions import predictions_of
from zoo.tasks.predictions import AnyPrediction
from zoo.tasks.task import Task

LimitsOf: TypeAlias = Callable[[Threshold, float | None, float | None], PredictionLimits]
"""From threshold, coverage and the share to reject."""


class Predictor:
    """Predicts a few inputs at a time; created by :meth:`zoo.Run.predictor`.

    :meth:`predict` does it all. A server does the steps apart: :meth:`prepare` and :meth:`answer`
    are thread-safe, and :meth:`outputs` must be called from one thread at a time.

    Args:
        forward: The fine-tuned backbone with its head.
        preparer: Prepares its inputs.
        task: What the outputs mean.
        classes: Names of classes or regression targets.
        temperature: The number that logits are divided by for calibrated probabilities.
        limits: From what is asked of predictions to :class:`PredictionLimits`.
        bank: Reads the features of training samples, when first asked to reject.
        using: A context in which the backbone is ready; for adapters that share one.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        preparer: Preparer,
        task: Task,
        classes: Sequence[str],
        temperature: float = 1.0,
        limits: LimitsOf,
        bank: Callable[[], FeatureBank | None] = lambda: None,
        using: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._using, self._temperature, self._limits = using, temperature, limits
        self._read_bank = bank
        self._score: FeatureScore | None = None
        self._forward, self._task, self._classes = forward, task, classes
        self._preparer = preparer

    def predict(
        self,
        inputs: Any,
        *,
        threshold: Threshold = None,
        coverage: float | None = None,
        reject: float | None = None,
    ) -> list[AnyPrediction]:
        """Predict one input or a list of them, in one forward pass.

        Args:
            inputs: As for :meth:`prepare`.
            threshold: As for :meth:`limits`.
            coverage: As for :meth:`limits`.
            reject: As for :meth:`limits`.

        Raises:
            ZooError: As for :meth:`prepare` and :meth:`limits`.
        """
        limits = self.limits(threshold=threshold, coverage=coverage, reject=reject)
        given = inputs if isinstance(inputs, list) else [inputs]
        prepared = [self.prepare(raw, _name_of(raw)) for raw in given]
        if not prepared:
            return []
        return [
            self.answer(each, row, limits=limits)
            for each, row in zip(prepared, self.outputs(prepared), strict=True)
        ]

    def limits(
        self,
        *,
        threshold: Threshold = None,
        coverage: float | None = None,
        reject: float | None = None,
    ) -> PredictionLimits:
        """What is asked of predictions, for :meth:`answer`; arguments as of :meth:`zoo.Run.predict`.

        To be called before :meth:`outputs`.

        Raises:
            UsageError: A value is out of range, or does not apply to the run.
        """
        limits = self._limits(threshold, coverage, reject)
        if limits.distance is not None and self._score is None and (bank := self._read_bank()):
            self._score = bank.to(self._forward.device).distances
        return limits

    def prepare(self, raw: Raw, name: str = "the input") -> PreparedInput:
        """Prepare one input for :meth:`outputs`.

        Args:
            raw: The encoded bytes of an image, its path, or the image; a text; or a pair of texts.
            name: Name of an image in predictions and errors.

        Raises:
            BadFilesError: An image cannot be read, or its values are on another scale than in
                training.
            DataError: The tokenizer does not support pairs of texts.
        """
        return self._preparer.prepare(raw, name)

    def outputs(self, prepared: Sequence[PreparedInput]) -> NDArray[np.float64]:
        """The network's outputs for several inputs, in one forward pass: a row for each.

        Args:
            prepared: At least one, all of them from :meth:`prepare`.

        Returns:
            Rows for :meth:`answer`.
        """
        batch = self._preparer.batch(prepared)
        with self._using():
            rows = self._forward.logits(batch, score=self._score).cpu()
        return np.asarray(rows.double().numpy())

    def answer(
        self,
        prepared: PreparedInput,
        outputs: NDArray[np.float64],
        *,
        limits: PredictionLimits | None = None,
    ) -> AnyPrediction:
        """A prediction from one row of :meth:`outputs`.

        Args:
            prepared: The input.
            outputs: Its row.
            limits: From :meth:`limits`; by default a threshold of 0.5 for multi-label.
        """
        given = Listed((prepared.raw,), (prepared.name,))
        samples = Samples(modality_of(self._forward.backbone.spec), given)
        limits, rows = limits or PredictionLimits(), torch.from_numpy(outputs[None])
        predictions = predictions_of(
            self._task,
            samples,
            self._task.decode(rows[:, : len(self._classes)] / self._temperature),
            self._classes,
            threshold=limits.threshold,
            unread=[prepared.unread],
        )
        (prediction,) = limits.applied(predictions, self._task, rows, self._classes)
        return prediction

    def warm_up(self) -> None:
        """Predict a dummy input, so that the first real one is not delayed by library start-up."""
        self.outputs([self.prepare(self._preparer.example())])


def _name_of(raw: Raw) -> str:
    """The name of an image in predictions and errors."""
    return os.fspath(raw) if isinstance(raw, (str, os.PathLike)) else "the input"
