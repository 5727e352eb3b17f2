"""Options for making batches, shared by all modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from zoo.contract.extensions import AugmentationSpec
    from zoo.data.loader import TensorBatch
    from zoo.data.samples import Samples
    from zoo.registry.offers import Offer

MIN_SCALE = 0.35
"""The smallest share of an image's area that a training crop keeps. The usual 0.08 for ImageNet from
scratch is too little for small objects and few epochs."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How inputs become batches; each modality uses the options that apply to it.

    Attributes:
        train: Whether to augment.
        tokenizer: The tokenizer, for texts.
        flip: Whether a mirrored input still shows its class.
        min_scale: The smallest share of an image's area that a training crop keeps.
        augment: Further augmentation of training inputs.
        seed: Seed of the augmentation.
        reading: The result of :meth:`zoo.modalities.Modality.reading`, to record unread parts.
    """

    train: bool = False
    tokenizer: Tokenizer | None = None
    flip: bool = True
    min_scale: float = MIN_SCALE
    augment: Offer[AugmentationSpec] | None = None
    seed: int = 0
    reading: Any = None


class Decoding(Protocol):
    """Decodes inputs once into a file, rather than in each epoch."""

    @property
    def slow(self) -> bool:
        """Whether decoding is slower than the network, even on a CPU."""

    @property
    def key(self) -> str:
        """The cache key of the decoder's settings."""

    def applies(self, samples: Samples) -> bool:
        """Whether the samples need decoding."""

    def estimated_bytes(self, samples: Samples) -> int:
        """The decoded size of the samples, estimated from some of them."""

    def decode(self, samples: Samples, file: Path) -> Iterator[int]:
        """Decode all samples into ``file``; yields the number of each chunk.

        Raises:
            BadFilesError: An input cannot be read.
            OSError: The file cannot be written.
        """

    def opened(self, samples: Samples, file: Path) -> Samples | None:
        """The decoded samples from such a file; ``None`` if it is missing or damaged."""


class Placing(Protocol):
    """Keeps inputs decoded in memory, so that batches are made and augmented on the device."""

    def obstacle(self, samples: Samples, augment: Offer[AugmentationSpec] | None) -> str:
        """Why batches of the samples cannot be made there, in words; empty if they can.

        Args:
            samples: Of either split.
            augment: Further augmentation of training inputs.
        """

    def estimated_bytes(self, train: Samples, val: Samples) -> int:
        """The size of both splits in memory, estimated from some of them."""

    def placed(
        self, samples: Samples, device: torch.device, *, on_host: bool, advance: Callable[[], None]
    ) -> Samples:
        """Samples whose batches are made on the device.

        Args:
            samples: Training samples.
            device: The device of the network.
            on_host: Whether they stay in the host's memory, pinned for CUDA.
            advance: Called for each sample.

        Raises:
            BadFilesError: An input cannot be read.
        """

    def prepared(
        self,
        samples: Samples,
        batches: Iterable[TensorBatch],
        device: torch.device,
        *,
        on_host: bool,
    ) -> Samples:
        """Samples that are not augmented, prepared once.

        Args:
            samples: Validation samples.
            batches: All of their batches; those of the result are the same, bit for bit.
            device: As of :meth:`placed`.
            on_host: As of :meth:`placed`.
        """
