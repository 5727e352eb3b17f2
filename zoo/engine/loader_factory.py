"""Makes dataloaders, the same way for training, validation and prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.extensions import AugmentationSpec, imported
from zoo.contract.spec import BackboneSpec
from zoo.data.loader import BatchReader, Loader, make_loader
from zoo.data.samples import Samples
from zoo.engine.placement import WORKERS
from zoo.engine.surgery import sha256_of_code
from zoo.modalities import modality_of
from zoo.modalities.batches import MIN_SCALE, BatchOptions
from zoo.registry.offers import Offer
from zoo.system.processor import usable_cores

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PLAIN_BATCH = 32
"""Batch size of validation and prediction; fixed, so that metrics are reproducible. On CPUs it is
also the fastest, or nearly."""


@dataclass(frozen=True, kw_only=True)
class LoaderFactory:
    """Makes dataloaders for one spec.

    Attributes:
        spec: Its ``input`` gives size, cropping, colours, or length.
        tokenizer: For a network with tokens.
        workers: Worker processes; ``None`` chooses by the number of cores.
        flip: Whether to augment by horizontal flips; not for digits and letters.
        min_scale: Minimum share of an image's area in a training crop.
        augment: Further augmentation.
        balanced: Whether training samples each class equally often.
        seed: Random seed of order and augmentation.
        pin: Whether to pin memory, for GPUs.
        augment_on: Where batches are augmented, for :attr:`variation`.
        share: Number of this process, from 0, and of all processes, which share the training
            batches.
        static: Whether the shapes of training batches should repeat, because code is compiled for
            them or a GPU computes.
    """

    spec: BackboneSpec
    tokenizer: Tokenizer | None = None
    workers: int | None = None
    flip: bool = True
    min_scale: float = MIN_SCALE
    augment: Offer[AugmentationSpec] | None = None
    balanced: bool = False
    seed: int = 0
    pin: bool = False
    augment_on: str = WORKERS
    share: tuple[int, int] = (0, 1)
    static: bool = False

    def plain(self, samples: Samples, reading: Any = None) -> Loader:
        """Every sample once, without augmentation; ``reading`` as of :class:`BatchOptions`."""
        return self._loader(samples, train=False, batch_size=PLAIN_BATCH, reading=reading)

    def view(self, samples: Samples, number: int) -> Loader:
        """Every sample once, in order, in one of its augmented views."""
        loader = self._loader(samples, train=True, batch_size=PLAIN_BATCH, shuffle=False)
        loader.set_epoch(number)
        return loader

    def shuffled(self, samples: Samples, *, batch_size: int) -> Loader:
        """Shuffled and augmented; ``set_epoch`` chooses the order."""
        return self._loader(samples, train=True, batch_size=batch_size, shuffle=True)

    @property
    def variation(self) -> str:
        """Identifies the augmentation, for the feature cache."""
        words = f"flip {self.flip}, scale {self.min_scale}, {self._augment}, seed {self.seed}"
        return words if self.augment_on == WORKERS else f"{words}, on the device"

    @property
    def _augment(self) -> str:
        """The augmentation and its code."""
        if self.augment is None:
            return "none"
        spec = self.augment.value
        chosen = spec.apply if self.augment_on == WORKERS else spec.apply_batch
        function = self.augment.call(imported, chosen)
        return f"{self.augment.name} {sha256_of_code(function)}"

    def _loader(
        self,
        samples: Samples,
        *,
        train: bool,
        batch_size: int,
        shuffle: bool = False,
        reading: Any = None,
    ) -> Loader:
        options = BatchOptions(
            train=train,
            tokenizer=self.tokenizer,
            flip=self.flip,
            min_scale=self.min_scale,
            augment=self.augment,
            seed=self.seed,
            reading=reading,
            static_batch=batch_size if shuffle and self.static else 0,
        )
        reader = modality_of(self.spec).batch_reader(samples, self.spec, options)
        # BatchNorm cannot train on a last batch of one sample per process.
        rest, processes = len(samples) % batch_size, self.share[1]
        single = shuffle and len(samples) > batch_size and 0 < rest < 2 * processes
        return make_loader(
            reader,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            workers=0 if (threads := self._threads(reader)) else self._workers(reader),
            threads=threads,
            pin=self.pin,
            drop_last=single,
            share=self.share if shuffle else (0, 1),
            balanced=shuffle and self.balanced,
        )

    def _threads(self, reader: BatchReader) -> int:
        """Threads instead of processes; on a CPU, whose network is not much faster than the reading."""
        threads = self.workers is None and reader.in_threads and not self.pin
        return self._processes(reader) if threads else 0

    def _workers(self, reader: BatchReader) -> int:
        if self.workers is not None:
            return self.workers
        return self._processes(reader) if reader.in_processes else 0

    def _processes(self, reader: BatchReader) -> int:
        return min(max(1, round(usable_cores())), 8) if len(reader.samples) > 256 else 0
