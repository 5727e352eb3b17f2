"""Batches of images: read, augmented and stacked as bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, TensorBatch, labels_of
from zoo.data.samples import Samples
from zoo.data.sequences import in_memory
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import TRAITS, Traits
from zoo.modalities.image.transforms import RGB, ImageTransform
from zoo.system.tensors.seeds import mixed_seed


def _forks() -> bool:
    """Whether worker processes share this one's memory; otherwise they would get a copy of it."""
    return torch.multiprocessing.get_start_method() == "fork"


class ImageBatches(BatchReader):
    """Batches of images: ``pixel_values`` ``(B, C, size, size)``, ``index``, ``labels``.

    Pixels are bytes from 0 to 255, a quarter of the size of floats on the way from a worker to a
    GPU; the batch is normalised on the device. Batches with images of more than 8 bits are
    normalised floats.
    """

    def __init__(
        self, samples: Samples, transform: ImageTransform, seed: int, reading: Reading | None = None
    ) -> None:
        self.samples = samples
        self.transform = transform
        self.seed = seed
        self.reading = reading
        self.traits_type = None if reading is None else TRAITS
        self.in_processes = not in_memory(samples.inputs) or _forks()
        # Augmentation draws from the process's generator; bands are resized by torch's threads.
        self.in_threads = not (transform.train or in_memory(samples.inputs)) and (
            transform.input.channels == RGB
        )

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        traits = np.zeros(len(keys), TRAITS)
        rows = [traits[place : place + 1] for place in range(len(keys))]
        prepared = [self._pixels(*key, row) for key, row in zip(keys, rows, strict=True)]
        batch = {"pixel_values": self.transform.together(prepared)}
        if self.reading is not None:  # as bytes, since a batch holds tensors
            batch["traits"] = torch.from_numpy(traits.view(np.uint8).reshape(len(keys), -1))
        return batch | labels_of(self.samples, [index for _, index in keys])

    def _pixels(self, augmentation: int, index: int, traits: Traits) -> Tensor:
        name = self.samples.input(index)
        if self.reading is None:
            image = self.transform.read(self.samples.raw(index), name)
        else:
            image = self.transform.read(self.samples.raw(index), name, traits)
            self.reading.refuse(traits, name)
        return self.transform.pixels(image, seed=mixed_seed(self.seed, augmentation, index))
