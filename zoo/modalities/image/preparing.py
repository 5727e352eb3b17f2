"""Images prepared one at a time, as a server needs it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from zoo.contract.spec import ImageInput
from zoo.data.sequences import Raw
from zoo.modalities.image.arrays import MODES
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import TRAITS
from zoo.modalities.image.transforms import make_transform
from zoo.modalities.preparing import PreparedInput


class ImagePreparer:
    """See :class:`zoo.modalities.preparing.Preparer`; contents are ``(C, size, size)`` of 0 to 255.

    Args:
        given: What the network takes.
        reading: How the run reads images.
    """

    def __init__(self, given: ImageInput, reading: Reading | None) -> None:
        self._transform = make_transform(given, train=False)
        self._reading = reading or Reading(given)

    def prepare(self, raw: Raw, name: str) -> PreparedInput:
        """Of encoded bytes, a path, or an image.

        Raises:
            BadFilesError: The image cannot be read, or is on another scale than in training.
        """
        assert not isinstance(raw, tuple)
        traits = np.zeros(1, TRAITS)
        image = self._transform.read(raw, name, traits)
        self._reading.refuse(traits, name)
        return PreparedInput(
            raw, name, self._transform.pixels(image), self._reading.names(traits)[0]
        )

    def batch(self, prepared: Sequence[PreparedInput]) -> dict[str, Tensor]:
        """``pixel_values`` ``(B, C, size, size)``."""
        return {"pixel_values": self._transform.together([each.content for each in prepared])}

    def example(self) -> Raw:
        """A small grey JPEG; of many channels, an array."""
        file, channels = io.BytesIO(), self._transform.input.channels
        if channels > max(MODES):
            np.save(file, np.zeros((64, 64, channels), np.uint8))
            return file.getvalue()
        Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
        return file.getvalue()
