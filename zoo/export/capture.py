"""Capture of a network by ``torch.export``, with dynamic batch size and text length."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO

import torch
from torch.export import ExportedProgram

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.export.native import native_flaw, other_formats
from zoo.export.recurrent import Whole
from zoo.modalities.exporting import ExportInputs
from zoo.runs.run import Run
from zoo.system.library_output import in_a_line as in_a_line
from zoo.system.library_output import quiet as quiet


def capture(backbone: Backbone, inputs: ExportInputs, run: Run | None = None) -> ExportedProgram:
    """The exported program of ``backbone``, with recurrent layers as zoo's operators.

    Args:
        backbone: With its head.
        inputs: Its inputs.
        run: The run that is exported; for the hint of an error.

    Raises:
        RunError: ``torch.export`` cannot capture it.
    """
    network = inputs.by_name(backbone.requires_grad_(False)).eval()
    try:
        with torch.no_grad(), quiet(), redirect_stderr(StringIO()), Whole():  # it prints the graph
            return torch.export.export(
                network,
                (),
                inputs.traced(),
                dynamic_shapes=inputs.dynamic_shapes(),
            )
    except Exception as error:  # of the network's own code
        hint = other_formats(backbone, run, "onnx", "torch-export")
        if run is not None and run.record.get("network") is None and native_flaw(backbone, run):
            hint += f" Its plugin's author finds out more with: zoo check {backbone.spec.name}"
        raise RunError(
            f"{backbone.spec.name} cannot be captured by torch.export: {in_a_line(error)}",
            hint=hint,
        ) from error
