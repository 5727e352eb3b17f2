"""What an export has to know of a modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import Dim

    from zoo.contract.backbone import Backbone

TensorBatch: TypeAlias = "dict[str, Tensor]"


class ExportInputs(Protocol):
    """The inputs of one network: what it is captured with, checked on, and described by."""

    @property
    def axes(self) -> Mapping[str, tuple[str | int, ...]]:
        """The shape of each input: a name for what may be of any size."""

    @property
    def what(self) -> str:
        """One input, with its article: ``an image``."""

    @property
    def limits(self) -> str:
        """What of a batch may vary beside its number of samples, to follow that in a sentence."""

    def traced(self) -> TensorBatch:
        """The batch that the network is captured with."""

    def checked(self) -> Iterator[TensorBatch]:
        """Batches on which the export is compared with the network, of every kind that there is."""

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """Which axes of each input may be of any size, as ``torch.export`` takes it."""

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network, taking the tensors of a batch by their names."""

    def preparation(self) -> dict[str, Any]:
        """How an input becomes what the network takes, for ``preprocessing.json``."""
