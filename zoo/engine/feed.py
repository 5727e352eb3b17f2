"""From samples to batches, the same way in training, validation and prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.contract.spec import BackboneSpec
from zoo.data.loader import Loader, make_loader
from zoo.data.samples import Samples
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.transforms import MIN_SCALE, Augment, ImageTransform, make_transform
from zoo.modalities.text.tokenization import TextEncoder
from zoo.system.processor import usable_cores

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PLAIN_BATCH = 32
"""Samples a batch in validation and prediction; one number, so that figures repeat exactly. On
processors it is also what networks are quickest with, or nearly."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Prepares samples as one spec wants them.

    Attributes:
        spec: Its ``input`` decides size, cropping, colours, or length.
        tokenizer: Texts only.
        workers: Processes that prepare pictures; ``None`` for what fits the machine.
        flip: Whether training may mirror pictures; digits and letters must not be.
        min_scale: The smallest share of a picture's area that a training crop keeps.
        augment: What else varies training pictures: ``none``, or ``trivial`` for TrivialAugment.
        balanced: Whether training draws each class equally often.
        seed: Of order and augmentation.
        pin: Whether batches go to page-locked memory, for GPUs.
        share: Which of several processes this is, from 0, and how many there are. Batches in
            training are dealt out among them.
    """

    spec: BackboneSpec
    tokenizer: Tokenizer | None = None
    workers: int | None = None
    flip: bool = True
    min_scale: float = MIN_SCALE
    augment: Augment = "none"
    balanced: bool = False
    seed: int = 0
    pin: bool = False
    share: tuple[int, int] = (0, 1)

    def plain(self, samples: Samples, reading: Reading | None = None) -> Loader:
        """Every sample once, without augmentation; ``reading`` as of :func:`zoo.data.loader.make_loader`."""
        return self._loader(samples, train=False, batch_size=PLAIN_BATCH, reading=reading)

    def view(self, samples: Samples, number: int) -> Loader:
        """Every sample once, in order, in one of its variations."""
        loader = self._loader(samples, train=True, batch_size=PLAIN_BATCH, shuffle=False)
        loader.set_epoch(number)
        return loader

    def shuffled(self, samples: Samples, *, batch_size: int) -> Loader:
        """Shuffled and augmented; ``set_epoch`` chooses which of the many orders."""
        return self._loader(samples, train=True, batch_size=batch_size, shuffle=True)

    def decode_size(self, *, train: bool) -> int:
        """The shorter side, in pixels, that decoding must leave of a picture."""
        return self._transform(train).decode_size

    @property
    def variation(self) -> str:
        """What decides how training pictures vary."""
        return f"flip {self.flip}, scale {self.min_scale}, {self.augment}, seed {self.seed}"

    def _loader(
        self,
        samples: Samples,
        *,
        train: bool,
        batch_size: int,
        shuffle: bool = False,
        reading: Reading | None = None,
    ) -> Loader:
        image = self.spec.modality == "image"
        transform = self._transform(train) if image else None
        encoder = None if image else self._encoder()
        # One sample left over for a process would be a batch that BatchNorm cannot train on.
        rest, processes = len(samples) % batch_size, self.share[1]
        lonely = shuffle and len(samples) > batch_size and 0 < rest < 2 * processes
        return make_loader(
            samples,
            transform=transform,
            encoder=encoder,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            workers=self._workers(samples),
            pin=self.pin,
            drop_last=lonely,
            share=self.share if shuffle else (0, 1),
            balanced=shuffle and self.balanced,
            reading=reading,
        )

    def _transform(self, train: bool) -> ImageTransform:
        return make_transform(
            self.spec.image_input,
            train=train,
            flip=self.flip,
            min_scale=self.min_scale,
            augment=self.augment,
        )

    def _encoder(self) -> TextEncoder:
        assert self.tokenizer is not None
        return TextEncoder(self.tokenizer, self.spec.text_input)

    def _workers(self, samples: Samples) -> int:
        if self.workers is not None:
            return self.workers
        cores = max(1, round(usable_cores()))
        return min(cores, 8) if samples.kind.in_files and len(samples) > 256 else 0
