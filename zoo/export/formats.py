"""zoo's own export formats: how each is written, and run for the check."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.export import recurrent
from zoo.export.capture import capture, in_a_line, quiet
from zoo.export.judged_head import output_names
from zoo.export.native import LOADER, native_source, other_formats
from zoo.modalities.exporting import ExportInputs, TensorBatch
from zoo.runs.folder import write_model
from zoo.runs.run import Run
from zoo.system import files

Runner = Callable[[TensorBatch], Tensor | Mapping[str, Tensor]]
"""From a batch to logits ``(B, outputs)``, or to several outputs by name."""

_PROTOBUF = 1_900_000_000  # bytes; a protobuf holds at most 2 GiB, larger weights go beside it


# -- ONNX ------------------------------------------------------------------------------------


def write_onnx(run: Run | None, backbone: Backbone, inputs: ExportInputs, folder: Path) -> None:
    """Write ``model.onnx``, with large weights beside it.

    Raises:
        RunError: It cannot be captured, or has an operator that ONNX lacks.
    """
    program = capture(backbone, inputs, run)
    try:
        with quiet():
            exported = torch.onnx.export(
                program,
                (),
                kwargs=inputs.traced(),
                input_names=list(inputs.axes),
                output_names=output_names(backbone),
                dynamic_shapes=inputs.dynamic_shapes(),
                custom_translation_table=recurrent.translations(),
                dynamo=True,
                verbose=False,
            )
            assert exported is not None
            size = sum(p.nbytes for p in backbone.state_dict().values())
            exported.save(folder / "model.onnx", external_data=size > _PROTOBUF)
    except OSError:
        raise
    except Exception as error:  # an operator without a translation, or a bug in the exporter
        raise RunError(
            f"{backbone.spec.name} cannot be written as ONNX: {in_a_line(_first_cause(error))}",
            hint=other_formats(backbone, run, "onnx"),
        ) from error


def _first_cause(error: BaseException) -> BaseException:
    """The error at the bottom, which names the operator; torch wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def run_onnx(folder: Path) -> Runner:
    """Load ``model.onnx`` with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]
    outputs = [each.name for each in session.get_outputs()]

    def run(batch: TensorBatch) -> Tensor | dict[str, Tensor]:
        found = session.run(outputs, {name: batch[name].numpy() for name in names})
        named = dict(zip(outputs, map(torch.from_numpy, found), strict=True))
        return named if len(named) > 1 else named["logits"]

    return run


# -- torch.export ----------------------------------------------------------------------------


def write_program(run: Run, backbone: Backbone, inputs: ExportInputs, folder: Path) -> None:
    """Write ``model.pt2``."""
    program = copy.copy(capture(backbone, inputs, run))
    recurrent.restore(program)
    with quiet():
        torch.export.save(program, folder / "model.pt2")


def run_program(folder: Path) -> Runner:
    """Load ``model.pt2`` with torch."""
    with quiet():
        network = torch.export.load(folder / "model.pt2").module()
    return lambda batch: network(**batch)


# -- native ----------------------------------------------------------------------------------


def write_native(run: Run, backbone: Backbone, _: ExportInputs, folder: Path) -> None:
    """Write the weights under the library's names, and code that loads them."""
    source = native_source(backbone, run)
    write_model(folder, backbone, run.classes, run.tokenizer, run.task.activation)
    files.write_text(folder / LOADER, source)


def run_native(folder: Path) -> Runner:
    """Run the plugin's code for its library."""
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # a library's progress bar
        lines = runpy.run_path(os.fspath(folder / LOADER))
        network = lines["load"](folder)
    return lambda batch: lines["logits"](network, batch)
