"""What a look at every input, once, has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zoo.data.sequences import Indices

Flags: TypeAlias = NDArray[np.bool_]

Hashes: TypeAlias = NDArray[np.uint64]
"""``(N, words)``: what each of N inputs is like, so that near-duplicates have few other bits."""


@dataclass(frozen=True)
class Examined:
    """What a look at every input, once, has shown.

    Attributes:
        digests: What stands for the contents of each, the same for a copy elsewhere.
        contents: ``(N,)``, the same number for inputs that count as the same.
        hashes: What near-duplicates are found by; ``None`` of a modality that knows none.
        traits: ``(N,)``, what else is worth knowing of each; ``None`` likewise.
        reasons: The index and the reason of each that cannot be read.
    """

    digests: Sequence[bytes]
    contents: NDArray[np.uint64]
    hashes: Hashes | None = None
    traits: NDArray[Any] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    @property
    def good(self) -> Indices:
        """The indices of those that can be read."""
        return np.array(
            [i for i in range(len(self.digests)) if i not in self.reasons], dtype=np.int64
        )

    def take(self, indices: Indices) -> Examined:
        """Those at ``indices``, which can all be read."""
        hashes, traits = (
            None if each is None else each[indices] for each in (self.hashes, self.traits)
        )
        digests = [self.digests[i] for i in indices]
        return Examined(digests, self.contents[indices], hashes, traits)
