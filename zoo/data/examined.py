"""The result of reading every input once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zoo.data.sequences import Indices

Flags: TypeAlias = NDArray[np.bool_]

Hashes: TypeAlias = NDArray[np.uint64]
"""``(N, words)``: perceptual hashes of N inputs; near-duplicates differ in few bits."""


class Keeps(Protocol):
    """Keeps decoded inputs while they are examined, so that they are not decoded again."""

    def during(self, count: int) -> AbstractContextManager[None]:
        """Keep what is added while the block runs, for ``count`` inputs."""

    def wanted(self, digest: bytes) -> Sequence[Any]:
        """The ways, of the modality's own, in which to decode an input; called by threads."""

    def add(self, digest: bytes, decoded: Any) -> None:
        """Keep an input that is decoded in one of these ways; called by threads."""


@dataclass(frozen=True)
class Examined:
    """The result of reading every input once.

    Attributes:
        digests: A digest of the contents of each input.
        contents: ``(N,)``, equal numbers for inputs that count as duplicates.
        hashes: Perceptual hashes; ``None`` if the modality has none.
        traits: ``(N,)``, other properties of each input; ``None`` if the modality has none.
        reasons: Why inputs cannot be read, by index.
    """

    digests: Sequence[bytes]
    contents: NDArray[np.uint64]
    hashes: Hashes | None = None
    traits: NDArray[Any] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    @property
    def good(self) -> Indices:
        """The indices of the readable inputs."""
        return np.array(
            [i for i in range(len(self.digests)) if i not in self.reasons], dtype=np.int64
        )

    def take(self, indices: Indices) -> Examined:
        """The results at ``indices``, all of them readable."""
        hashes, traits = (
            None if each is None else each[indices] for each in (self.hashes, self.traits)
        )
        digests = [self.digests[i] for i in indices]
        return Examined(digests, self.contents[indices], hashes, traits)
