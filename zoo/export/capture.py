"""A network as a program of ``torch.export``, for batches of any size and texts of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zoo.contract.backbone import Backbone
from zoo.errors import RunError
from zoo.export.batches import Batches
from zoo.export.recurrent import Whole
from zoo.system.library_output import in_a_line as in_a_line
from zoo.system.library_output import quiet as quiet


class Pictures(nn.Module):
    """A backbone for pictures that takes the tensors of a batch by their names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values: Tensor) -> Tensor:
        """``(B, outputs)``, before softmax, sigmoid, or the user's units."""
        logits: Tensor = self.backbone({"pixel_values": pixel_values})
        return logits


class Texts(nn.Module):
    """A backbone for texts that takes the tensors of a batch by their names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """``(B, outputs)``, before softmax, sigmoid, or the user's units."""
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            batch["token_type_ids"] = token_type_ids
        logits: Tensor = self.backbone(batch)
        return logits


def capture(backbone: Backbone, batches: Batches) -> ExportedProgram:
    """The program of ``backbone``; recurrent layers are the zoo's operators in it.

    Raises:
        RunError: ``torch.export`` cannot capture it.
    """
    kind = Pictures if backbone.spec.modality == "image" else Texts
    network = kind(backbone.requires_grad_(False)).eval()
    try:
        with torch.no_grad(), quiet(), Whole():
            return torch.export.export(
                network,
                (),
                batches.traced(),
                dynamic_shapes=dynamic_shapes(batches),
            )
    except Exception as error:  # whatever the network's own code ran into when traced
        raise RunError(
            f"{backbone.spec.name} cannot be captured by torch.export: {in_a_line(error)}",
            hint="Export it with --format native.",
        ) from error


def dynamic_shapes(batches: Batches) -> dict[str, dict[int, Dim]]:
    """Which axes of each input may be of any size, as ``torch.export`` takes it."""
    batch = Dim("batch", min=1)
    if batches.run.spec.modality == "image":
        return {"pixel_values": {0: batch}}
    length = Dim("length", min=batches.shortest, max=batches.longest)
    return {name: {0: batch, 1: length} for name in batches.axes}
