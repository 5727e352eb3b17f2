"""What the sources ask of a modality: they themselves know none."""

from __future__ import annotations

from typing import Protocol


class InputKind(Protocol):
    """What kind of inputs a dataset holds, as the sources see it; a modality is one."""

    @property
    def name(self) -> str:
        """As in ``BackboneSpec.modality``."""

    @property
    def noun(self) -> str:
        """One input, in words: ``image``."""

    @property
    def nouns(self) -> str:
        """Several, in words: ``images``."""
