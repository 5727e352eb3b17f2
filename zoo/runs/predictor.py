"""A run held ready for a few inputs at a time, again and again, as a server needs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import Samples
from zoo.data.sequences import Listed, Raw
from zoo.engine.forward import Forward
from zoo.modalities import modality_of
from zoo.modalities.preparing import PreparedInput as PreparedInput
from zoo.modalities.preparing import Preparer
from zoo.runs.predictions import predictions_of
from zoo.tasks.metrics import THRESHOLD
from zoo.tasks.predictions import AnyPrediction
from zoo.tasks.task import Task


class Predictor:
    """Answers inputs of one run; made by :meth:`zoo.Run.predictor`.

    :meth:`prepare` and :meth:`answer` may run in many threads at once, :meth:`outputs` in one.

    Args:
        forward: The fine-tuned backbone with its head.
        preparer: Prepares its inputs.
        task: What the outputs mean.
        classes: Names of classes, or of columns of numbers.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        preparer: Preparer,
        task: Task,
        classes: Sequence[str],
    ) -> None:
        self._forward, self._task, self._classes = forward, task, classes
        self._preparer = preparer

    def prepare(self, raw: Raw, name: str = "the input") -> PreparedInput:
        """What :meth:`outputs` takes of one input.

        Args:
            raw: The encoded bytes of an image, its path, or the image; a text; or a pair of texts.
            name: How answers and errors name an image.

        Raises:
            BadFilesError: An image cannot be read, or is on another scale than in training.
            DataError: A pair of texts, and the tokenizer cannot tell them apart.
        """
        return self._preparer.prepare(raw, name)

    def outputs(self, prepared: Sequence[PreparedInput]) -> NDArray[np.float64]:
        """What is said of several inputs, in one forward pass: ``(len(prepared), classes)``.

        Args:
            prepared: At least one, all of them from :meth:`prepare`.

        Returns:
            Probabilities, or numbers in the user's units.
        """
        return self._task.decode(self._forward.logits(self._preparer.batch(prepared)))

    def answer(
        self,
        prepared: PreparedInput,
        outputs: NDArray[np.float64],
        *,
        threshold: float | None = None,
    ) -> AnyPrediction:
        """One row of :meth:`outputs`, ``(classes,)``, by the user's names.

        Args:
            prepared: The input that the row is of.
            outputs: The row.
            threshold: The probability from which on an input has a class, where several may be;
                0.5 by default.
        """
        given = Listed((prepared.raw,), (prepared.name,))
        samples = Samples(modality_of(self._forward.backbone.spec), given)
        threshold = THRESHOLD if threshold is None else threshold
        (prediction,) = predictions_of(
            self._task,
            samples,
            outputs[None],
            self._classes,
            threshold=threshold,
            unread=[prepared.unread],
        )
        return prediction

    def warm_up(self) -> None:
        """Answer one made-up input, so that the first real one waits for no library to start."""
        self.outputs([self.prepare(self._preparer.example())])
