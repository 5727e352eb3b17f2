"""A run held ready for a few inputs at a time, again and again, as a server needs it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.data.samples import Listed, Picture, Raw, Samples
from zoo.engine.forward import Forward
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import TRAITS
from zoo.modalities.image.transforms import ImageTransform, make_transform
from zoo.modalities.not_seen import END
from zoo.modalities.text.tokenization import TextEncoder, Tokens
from zoo.runs.predictions import predictions_of
from zoo.tasks.metrics import THRESHOLD
from zoo.tasks.predictions import AnyPrediction
from zoo.tasks.task import Task


class Prepared(NamedTuple):
    """One input as the network takes it.

    Attributes:
        content: A picture as ``(3, size, size)`` of 0 to 255, or a text as its tokens.
        unread: What of it the network does not get to see, as in
            :class:`zoo.tasks.single_label.Prediction`.
    """

    content: Tensor | Tokens
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """One input.

    Attributes:
        raw: The encoded bytes of a picture, its path, or the picture; a text; or a pair of texts.
        name: How answers and errors call a picture.
    """

    raw: Raw
    name: str


class Predictor:
    """Answers inputs of one run; made by :meth:`zoo.Run.predictor`.

    :meth:`prepare` and :meth:`answer` may run in many threads at once, :meth:`outputs` in one.

    Args:
        forward: The fine-tuned backbone with its head.
        tokenizer: Texts only.
        task: What the outputs mean.
        classes: Names of classes, or of columns of numbers.
        pairs: Whether the inputs are pairs of texts.
        reading: Of pictures, how the run reads them.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        tokenizer: Any,
        task: Task,
        classes: Sequence[str],
        pairs: bool,
        reading: Reading | None = None,
    ) -> None:
        self._forward, self._task, self._classes = forward, task, classes
        self._spec = spec = forward.backbone.spec
        self._pairs, self._reading = pairs, reading
        image = spec.modality == "image"
        self._transform = make_transform(spec.image_input, train=False) if image else None
        self._encoder = None if image else TextEncoder(tokenizer, spec.text_input)

    def prepare(self, asked: Asked) -> Prepared:
        """What :meth:`outputs` takes of one input.

        Raises:
            BadFilesError: A picture cannot be read, or is on another scale than in training.
            DataError: A pair of texts, and the tokenizer cannot tell them apart.
        """
        if self._transform is not None:
            assert not isinstance(asked.raw, tuple)
            return self._picture(self._transform, asked.raw, asked.name)
        assert self._encoder is not None
        text = asked.raw if isinstance(asked.raw, tuple) else str(asked.raw)
        tokens = self._encoder.tokens([text])[0]
        return Prepared(tokens, (END,) if tokens.cut else ())

    def _picture(self, transform: ImageTransform, raw: Picture, name: str) -> Prepared:
        traits, reading = np.zeros(1, TRAITS), self._reading or Reading(transform.input)
        picture = transform.read(raw, name, traits)
        reading.refuse(traits, name)
        return Prepared(transform.pixels(picture), reading.names(traits)[0])

    def outputs(self, prepared: Sequence[Prepared]) -> NDArray[np.float64]:
        """What is said of several inputs, in one forward pass: ``(len(prepared), classes)``.

        Args:
            prepared: At least one, all of them from :meth:`prepare`.

        Returns:
            Probabilities, or numbers in the user's units.
        """
        return self._task.decode(self._forward.logits(self._batch(prepared)))

    def answer(
        self,
        asked: Asked,
        outputs: NDArray[np.float64],
        *,
        threshold: float | None = None,
        unread: tuple[str, ...] = (),
    ) -> AnyPrediction:
        """One row of :meth:`outputs`, ``(classes,)``, by the user's names.

        Args:
            asked: The input that the row is of.
            outputs: The row.
            threshold: The probability from which on an input has a class, where several may be;
                0.5 by default.
            unread: As :meth:`prepare` says.
        """
        samples = Samples(self._spec.modality, Listed((asked.raw,), (asked.name,)))
        threshold = THRESHOLD if threshold is None else threshold
        (prediction,) = predictions_of(
            self._task,
            samples,
            outputs[None],
            self._classes,
            threshold=threshold,
            unread=[unread],
        )
        return prediction

    def warm_up(self) -> None:
        """Answer one made-up input, so that the first real one waits for no library to start."""
        raw: Raw
        if self._spec.modality == "image":
            file = io.BytesIO()
            Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
            raw = file.getvalue()
        else:
            raw = ("one", "two") if self._pairs else "one"
        self.outputs([self.prepare(Asked(raw, "warm-up"))])

    def _batch(self, prepared: Sequence[Prepared]) -> dict[str, Tensor]:
        if self._transform is not None:
            pixels = [p.content for p in prepared if isinstance(p.content, Tensor)]
            return {"pixel_values": self._transform.together(pixels)}
        assert self._encoder is not None
        tokens = [p.content for p in prepared if isinstance(p.content, Tokens)]
        apart = self._pairs and any(any(each.types) for each in tokens)
        types = [each.types for each in tokens] if apart else None
        return self._encoder.collate([each.ids for each in tokens], types)
