"""What of some inputs the network did not get to see, once a loader has read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotSeen:
    """What of N inputs was not read.

    Attributes:
        names: Of each, the names of what was not read; the modality has them.
        facts: The same over all, in words.
    """

    names: tuple[tuple[str, ...], ...]
    facts: tuple[str, ...]
