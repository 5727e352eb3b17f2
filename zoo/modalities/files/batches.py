"""Batches of files: read, augmented and collated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, TensorBatch, labels_of
from zoo.data.samples import Samples
from zoo.modalities.batches import BatchOptions
from zoo.modalities.files.collating import collated
from zoo.modalities.files.reading import prepare, read_sample
from zoo.system.tensors.seeds import mixed_seed

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


class FileBatches(BatchReader):
    """Batches of files: the main input ``(B, *shape)``, tensors of the plugin, ``index``, ``labels``."""

    def __init__(
        self, modality: FileFunctions, samples: Samples, given: InputSpec, options: BatchOptions
    ) -> None:
        self.modality, self.samples, self.given = modality, samples, given
        self.train, self.seed = options.train and modality.augmented, options.seed

    def read(self, keys: Sequence[Key]) -> TensorBatch:
        batch = collated(self.modality, [self._prepared(*key) for key in keys], self.given)
        return batch | labels_of(self.samples, [index for _, index in keys])

    def _prepared(self, augmentation: int, index: int) -> Tensor:
        name = self.samples.input(index)
        sample = read_sample(self.modality, self.samples.raw(index), name)
        seed = mixed_seed(self.seed, augmentation, index) if self.train else None
        return prepare(self.modality, sample, name, self.given, seed)
