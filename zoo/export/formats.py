"""The export formats: how each is written, and run for the check."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import os
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError, UsageError
from zoo.export import recurrent
from zoo.export.capture import capture, in_a_line, quiet
from zoo.export.native import LOADER, native_source
from zoo.modalities.exporting import ExportInputs, TensorBatch
from zoo.runs.folder import MODEL, write_model
from zoo.runs.run import Run
from zoo.system import files

Format: TypeAlias = Literal["native", "onnx", "torch-export"]
FORMATS: tuple[Format, ...] = get_args(Format)

Runner = Callable[[TensorBatch], Tensor]
"""From a batch to logits ``(B, outputs)``."""

_ONNX_LIBRARIES = ("onnx", "onnxruntime", "onnxscript")
_PROTOBUF = 1_900_000_000  # bytes; a protobuf holds at most 2 GiB, larger weights go beside it


@dataclass(frozen=True)
class Writer:
    """One format.

    Attributes:
        write: Writes its files to a folder.
        run: Loads the folder as a user would.
    """

    write: Callable[[Run, Backbone, ExportInputs, Path], None]
    run: Callable[[Path], Runner]


def check_format(name: str) -> Format:
    """``name``, if it is a format whose libraries are installed.

    Raises:
        UsageError: The format is unknown, or a library is missing.
    """
    for known in FORMATS:
        if name == known:
            if known == "onnx":
                _require(_ONNX_LIBRARIES)
            return known
    raise UsageError(
        f"--format must be one of {', '.join(FORMATS)}, got {name!r}", hint="Choose one of them."
    )


def _require(libraries: tuple[str, ...]) -> None:
    for name in libraries:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                f"--format onnx needs {name}, which cannot be imported: {in_a_line(error)}",
                hint="Install the libraries: pip install 'zoo-finetune[export]'",
            ) from error


# -- ONNX ------------------------------------------------------------------------------------


def _write_onnx(_: Run, backbone: Backbone, inputs: ExportInputs, folder: Path) -> None:
    program = capture(backbone, inputs)
    try:
        with quiet():
            exported = torch.onnx.export(
                program,
                (),
                kwargs=inputs.traced(),
                input_names=list(inputs.axes),
                output_names=["logits"],
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
            f"{backbone.spec.name} cannot be written as ONNX: {in_a_line(error)}",
            hint="Export it with --format torch-export or native.",
        ) from error


def _run_onnx(folder: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]

    def run(batch: TensorBatch) -> Tensor:
        [logits] = session.run(None, {name: batch[name].numpy() for name in names})
        return torch.from_numpy(logits)

    return run


# -- torch.export ----------------------------------------------------------------------------


def _write_program(_: Run, backbone: Backbone, inputs: ExportInputs, folder: Path) -> None:
    program = copy.copy(capture(backbone, inputs))
    recurrent.restore(program)
    with quiet():
        torch.export.save(program, folder / "model.pt2")


def _run_program(folder: Path) -> Runner:
    with quiet():
        network = torch.export.load(folder / "model.pt2").module()
    return lambda batch: network(**batch)


# -- the library's own -----------------------------------------------------------------------


def _write_native(run: Run, backbone: Backbone, _: ExportInputs, folder: Path) -> None:
    source = native_source(backbone, run)
    write_model(folder, backbone, run.classes, run.tokenizer, run.task.activation)
    files.write_text(folder / LOADER, source)


def _run_native(folder: Path) -> Runner:
    """Run the plugin's code for its library."""
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # a library's progress bar
        lines = runpy.run_path(os.fspath(folder / LOADER))
        network = lines["load"](folder)
    return lambda batch: lines["logits"](network, batch)


WRITERS: Mapping[Format, Writer] = {
    "native": Writer(_write_native, _run_native),
    "onnx": Writer(_write_onnx, _run_onnx),
    "torch-export": Writer(_write_program, _run_program),
}

MODEL_FILES: Mapping[Format, str] = {
    "native": MODEL,
    "onnx": "model.onnx",
    "torch-export": "model.pt2",
}
