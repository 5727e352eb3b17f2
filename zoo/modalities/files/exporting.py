"""Exports for files: tensors of fixed shapes, and the preprocessing steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.export import Dim

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.modalities.exporting import TensorBatch
from zoo.modalities.files.collating import noise
from zoo.modalities.files.reading import calling
from zoo.modalities.named_network import named_network

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


@dataclass(frozen=True)
class FileExport:
    """See :class:`zoo.modalities.exporting.ExportInputs`."""

    modality: FileFunctions
    spec: BackboneSpec
    limits: str = ""

    @property
    def what(self) -> str:
        """With its article."""
        return f"a {self.modality.noun}"

    @property
    def axes(self) -> dict[str, tuple[str | int, ...]]:
        """The shapes of a batch's tensors."""
        return {key: ("batch", *each.shape[1:]) for key, each in self._noise(1).items()}

    def traced(self) -> TensorBatch:
        """Two inputs of noise."""
        return self._noise(2)

    def checked(self) -> Iterator[TensorBatch]:
        """One input and three, two of which are shorter where the plugin collates."""
        for count in (1, 3):
            yield self._noise(count, seed=count)

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """The number of inputs."""
        rows = Dim("batch", min=1)
        return {key: {0: rows} for key in self._noise(1)}

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network of a batch's tensors, as arguments of their names."""
        return named_network(list(self._noise(1)), backbone)

    def _noise(self, count: int, seed: int = 0) -> TensorBatch:
        return noise(self.modality, self.spec.input, count, seed=seed, padded=True)

    def preparation(self) -> dict[str, Any]:
        """The steps in their order, as the plugin gives them."""
        if self.modality.steps is None:
            return {"steps": []}
        with calling(self.modality, "steps"):
            return {"steps": self.modality.steps(self.spec.input)}
