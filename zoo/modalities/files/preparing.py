"""Files prepared one at a time, as a server needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.contract.inputs import InputSpec
from zoo.data.sequences import Raw
from zoo.modalities.files.collating import collated
from zoo.modalities.files.reading import calling, encoded, prepare, read_sample
from zoo.modalities.preparing import PreparedInput

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


class FilePreparer:
    """See :class:`zoo.modalities.preparing.Preparer`; contents are prepared tensors.

    Args:
        modality: The modality.
        given: What the network takes.
    """

    def __init__(self, modality: FileFunctions, given: InputSpec) -> None:
        self._modality, self._given = modality, given

    def prepare(self, raw: Raw, name: str) -> PreparedInput:
        """Of encoded bytes, a path, or an input in memory.

        Raises:
            BadFilesError: It cannot be read.
        """
        sample = read_sample(self._modality, raw, name)
        return PreparedInput(raw, name, prepare(self._modality, sample, name, self._given))

    def batch(self, prepared: Sequence[PreparedInput]) -> dict[str, Tensor]:
        """The main input, ``(B, *shape)``, and what the plugin adds."""
        return collated(self._modality, [each.content for each in prepared], self._given)

    def example(self) -> Raw:
        """The first of the demo data, as a file."""
        with calling(self._modality, "make_demo"):
            raw, _ = next(iter(self._modality.make_demo(0)))
        return encoded(self._modality, raw)
