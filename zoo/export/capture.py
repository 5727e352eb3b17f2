"""Capture of a network by ``torch.export``, with dynamic batch size and text length."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.export.native import has_native
from zoo.export.recurrent import Whole
from zoo.modalities.exporting import ExportInputs
from zoo.system.library_output import in_a_line as in_a_line
from zoo.system.library_output import quiet as quiet


def capture(backbone: Backbone, inputs: ExportInputs) -> ExportedProgram:
    """The exported program of ``backbone``, with recurrent layers as zoo's operators.

    Raises:
        RunError: ``torch.export`` cannot capture it.
    """
    network = inputs.by_name(backbone.requires_grad_(False)).eval()
    try:
        with torch.no_grad(), quiet(), Whole():
            return torch.export.export(
                network,
                (),
                inputs.traced(),
                dynamic_shapes=inputs.dynamic_shapes(),
            )
    except Exception as error:  # of the network's own code
        raise RunError(
            f"{backbone.spec.name} cannot be captured by torch.export: {in_a_line(error)}",
            hint="Export it with --format native."
            if has_native(backbone)
            else "Use zoo predict or zoo serve. Its plugin's author finds out more with: "
            f"zoo check {backbone.spec.name}",
        ) from error
