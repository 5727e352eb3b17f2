"""What the engine tells a modality of the batches that it wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from zoo.data.samples import Samples

MIN_SCALE = 0.35
"""The smallest share of an image's area that a training crop keeps. The 0.08 of training from
scratch on ImageNet is too little where an object is small and epochs are few."""

Augment: TypeAlias = Literal["none", "trivial"]
"""What varies training images beyond crops and mirror images."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How inputs become batches; each modality takes what it knows.

    Attributes:
        train: Whether they are augmented.
        tokenizer: Of a network of tokens.
        flip: Whether a mirrored input still shows its class.
        min_scale: The smallest share of an input that a training crop keeps.
        augment: What else augments training inputs.
        seed: Of the augmentation.
        reading: As :meth:`zoo.modalities.Modality.reading` gives it, to watch what is read.
    """

    train: bool = False
    tokenizer: Tokenizer | None = None
    flip: bool = True
    min_scale: float = MIN_SCALE
    augment: Augment = "none"
    seed: int = 0
    reading: Any = None


class Decoding(Protocol):
    """How inputs are decoded once, into a file, rather than in each epoch."""

    @property
    def slow(self) -> bool:
        """Whether decoding takes longer than the network does, even on a CPU."""

    @property
    def key(self) -> str:
        """What decides how a decoded input looks."""

    def applies(self, samples: Samples) -> bool:
        """Whether there is something to decode."""

    def estimated_bytes(self, samples: Samples) -> int:
        """What the samples take decoded, from some of them."""

    def decode(self, samples: Samples, file: Path) -> Iterator[int]:
        """Decode all of them into ``file``; yields how many at a time.

        Raises:
            BadFilesError: An input cannot be read.
            OSError: The file cannot be written.
        """

    def opened(self, samples: Samples, file: Path) -> Samples | None:
        """The samples decoded, from such a file; ``None`` where it is not there, or damaged."""
