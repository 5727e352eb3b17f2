"""What an export needs from a modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import Dim

    from zoo.contract.network.backbone import Backbone

TensorBatch: TypeAlias = "dict[str, Tensor]"


class ExportInputs(Protocol):
    """The inputs of one network, to trace, verify and describe its export."""

    @property
    def axes(self) -> Mapping[str, tuple[str | int, ...]]:
        """The shape of each input, with names for dynamic axes."""

    @property
    def what(self) -> str:
        """One input, with its article: ``an image``."""

    @property
    def limits(self) -> str:
        """Limits on dynamic axes besides the batch size, as the end of a sentence."""

    def traced(self) -> TensorBatch:
        """The batch to trace the network with."""

    def checked(self) -> Iterator[TensorBatch]:
        """Batches of all shapes for comparing the export with the network."""

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """The dynamic axes of each input, for ``torch.export``."""

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network with the tensors of a batch as named arguments."""

    def preparation(self) -> dict[str, Any]:
        """The preprocessing steps, for ``preprocessing.json``."""
