"""The export formats by name; plugins add theirs through ``zoo_exporters``. No torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from zoo.contract.extensions import ExporterSpec
from zoo.errors import UsageError, first_line
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.registry import Registry, find_offer

EXPORTER = OfferKind(
    noun="export format", plural="export formats", hook="zoo_exporters", holds=ExporterSpec
)

_HERE = "zoo.export.formats:"
_EXTRA = "pip install 'zoo-finetune[export]'"

_NATIVE = """\
from load import load, logits  # load.py of this folder

network = load(".")
outputs = logits(network, {{{tensors}}})"""
_ONNX = """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
[outputs] = session.run(["logits"], {{{tensors}}})"""
_PROGRAM = """\
import torch

network = torch.export.load("model.pt2").module()
outputs = network({keywords})"""

_PEFT = """\
from peft import PeftModel
from safetensors.torch import load_file

network = PeftModel.from_pretrained(base, ".")  # base: the library's own network, without a head
head = load_file("head.safetensors")  # of the linear head: weight, bias"""

EXPORTERS: Mapping[str, ExporterSpec] = {
    "native": ExporterSpec(
        write=_HERE + "write_native",
        run=_HERE + "run_native",
        model="model.safetensors",
        usage=_NATIVE,
    ),
    "onnx": ExporterSpec(
        write=_HERE + "write_onnx",
        run=_HERE + "run_onnx",
        model="model.onnx",
        usage=_ONNX,
        requires=("onnx", "onnxruntime", "onnxscript"),
        install=_EXTRA,
        several_outputs=True,
    ),
    "torch-export": ExporterSpec(
        write=_HERE + "write_program",
        run=_HERE + "run_program",
        model="model.pt2",
        usage=_PROGRAM,
        several_outputs=True,
    ),
    "peft": ExporterSpec(
        write="zoo.export.peft_folder:write_peft",
        run="zoo.export.peft_folder:run_peft",
        model="adapter_model.safetensors",
        usage=_PEFT,
    ),
}
"""zoo's own formats."""


def find_exporter(name: str, registry: Registry | None = None) -> Offer[ExporterSpec]:
    """The export format of that name, whose libraries are installed.

    Args:
        name: Bare, or ``plugin/name``.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: There is no such format, or several plugins offer it.
        UsageError: A library is missing.
        PluginError: Its plugin cannot be used.
    """
    offer = find_offer(EXPORTER, name, EXPORTERS, registry)
    require_libraries(offer)
    return offer


def require_libraries(offer: Offer[ExporterSpec]) -> None:
    """Import what a format needs.

    Raises:
        UsageError: A library is missing.
    """
    for module in offer.value.requires:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(
                f"--format {offer.name} needs {module}, which cannot be imported: {first_line(error)}",
                hint=f"Install the libraries: {offer.value.install or f'pip install {module}'}",
            ) from error
