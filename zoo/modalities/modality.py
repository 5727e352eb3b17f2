"""What a modality is: everything that differs between images, texts, and others to come."""

from __future__ import annotations

from typing import Protocol

from zoo.data.kind import InputKind


class Modality(InputKind, Protocol):
    """How raw inputs become batches, and how they are shown; frozen data plus functions.

    A modality is a folder in :mod:`zoo.modalities` whose object is listed in
    :data:`zoo.modalities.MODALITIES`. No other module asks which one it has.
    """

    @property
    def main_input(self) -> str:
        """The key, in a batch, of the tensor that holds the inputs themselves."""

    @property
    def dtype(self) -> str:
        """Of that tensor as the network takes it, as NumPy and ONNX call it."""

    @property
    def ragged(self) -> bool:
        """Whether batches differ in more than their number of samples."""

    @property
    def options(self) -> frozenset[str]:
        """Options of a fine-tune that mean something for this modality alone."""
