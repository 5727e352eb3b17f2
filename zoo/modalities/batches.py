"""Options for making batches, shared by all modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
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
        static_batch: Samples per batch, to pad inputs of different lengths to a few of them only
            (``widths`` of the reader); 0 pads each batch to its longest.
    """

    train: bool = False
    tokenizer: Tokenizer | None = None
    flip: bool = True
    min_scale: float = MIN_SCALE
    augment: Offer[AugmentationSpec] | None = None
    seed: int = 0
    reading: Any = None
    static_batch: int = 0


class DecodedWriter(Protocol):
    """Writes decoded inputs to a temporary file; threads may share it."""

    @property
    def file(self) -> Path:
        """The file."""

    @property
    def count(self) -> int:
        """The number of inputs so far."""

    @property
    def size(self) -> int:
        """Their size in bytes."""

    def add(self, digest: bytes, decoded: Any) -> None:
        """Write one input.

        Raises:
            OSError: The file cannot be written.
        """

    def finish(self) -> None:
        """Give the file its name; without any input there is none.

        Raises:
            OSError: The file cannot be written.
        """

    def abandon(self) -> None:
        """Remove the temporary file."""


class Decoding(Protocol):
    """Decodes inputs once into files, rather than in each epoch."""

    @property
    def slow(self) -> bool:
        """Whether decoding is slower than the network, even on a CPU."""

    @property
    def key(self) -> str:
        """The version of the files and of what decodes: part of the files' names."""

    def applies(self, samples: Samples) -> bool:
        """Whether the samples need decoding."""

    def read(self, raw: Any, name: str) -> tuple[bytes, Any]:
        """The digest of an input as it is now, and the input decoded.

        Raises:
            BadFilesError: It cannot be read.
        """

    def estimated_bytes(self, samples: Samples) -> int:
        """The decoded size of the samples, estimated from some of them."""

    def writer(self, file: Path) -> DecodedWriter:
        """Writes decoded inputs."""

    def find(self, file: Path, digests: Set[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """Where in a file inputs with these digests are, decoded this way."""

    def opened(
        self, samples: Samples, files: Sequence[Path], places: Sequence[tuple[int, int, int]]
    ) -> Samples:
        """The decoded samples: for each, the number of its file and the place in it."""


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

    def streamed(self, samples: Samples, device: torch.device) -> Samples | None:
        """Samples that are decoded on the device in each epoch; ``None`` if it cannot do that."""

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
