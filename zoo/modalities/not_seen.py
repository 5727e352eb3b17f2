"""Parts of inputs that the network did not see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotSeen:
    """Unread parts of N inputs.

    Attributes:
        names: For each input, the names of its unread parts, as defined by the modality.
        facts: Notes about all inputs.
    """

    names: tuple[tuple[str, ...], ...]
    facts: tuple[str, ...]
