"""What an export says of files: one tensor of one shape, and the steps that prepare it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.export import Dim

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.modalities.exporting import TensorBatch
from zoo.modalities.files.reading import calling

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
        """The shape that the spec states."""
        return {self.modality.main_input: ("batch", *self.modality.shape(self.spec.input))}

    def traced(self) -> TensorBatch:
        """Two inputs of noise."""
        return self.modality.noise(self.spec, 2)

    def checked(self) -> Iterator[TensorBatch]:
        """One input and three."""
        for count in (1, 3):
            yield self.modality.noise(self.spec, count, seed=count)

    def dynamic_shapes(self) -> dict[str, dict[int, Dim]]:
        """The number of inputs."""
        return {self.modality.main_input: {0: Dim("batch", min=1)}}

    def by_name(self, backbone: Backbone) -> nn.Module:
        """The network of the main input, as an argument of that name."""
        return _named(self.modality.main_input, backbone)

    def preparation(self) -> dict[str, Any]:
        """The steps in their order, as the plugin gives them."""
        if self.modality.steps is None:
            return {"steps": []}
        with calling(self.modality, "steps"):
            return {"steps": self.modality.steps(self.spec.input)}


class _Named(nn.Module):
    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__()
        self.name, self.backbone = name, backbone

    def forward(self, given: Tensor) -> Tensor:
        """``(B, outputs)``, before softmax, sigmoid, or the user's units."""
        logits: Tensor = self.backbone({self.name: given})
        return logits


def _named(name: str, backbone: Backbone) -> nn.Module:
    """A module whose ``forward`` has one argument, ``name``: exports call inputs by it."""
    code = _Named.forward.__code__
    names = (code.co_varnames[0], name, *code.co_varnames[2:])
    forward = types.FunctionType(code.replace(co_varnames=names), globals(), "forward")
    kind = type("Named", (_Named,), {"forward": forward})
    module: nn.Module = kind(name, backbone)
    return module
