"""Modes in which commands run networks: inference mode, bfloat16 autocast, export, adapters."""

from __future__ import annotations

import copy
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch
from zoo.engine.strategies import adapter
from zoo.errors import RunError
from zoo.export.capture import capture
from zoo.export.exporters import EXPORTERS
from zoo.export.formats import Runner, run_onnx, write_onnx
from zoo.export.judged_head import by_name
from zoo.export.recurrent import restore
from zoo.modalities import modality_of
from zoo.modalities.exporting import ExportInputs
from zoo.testing.checks.adapted import train_a_step
from zoo.testing.checks.base import (
    NotApplicable,
    assert_close,
    check,
    like,
    small_batch,
    tokenizer_of,
)
from zoo.weights.adapter_kinds import ADAPTERS

BF16_COSINE = 0.9
"""Least cosine between features in bfloat16 and in float32: random networks are deep and rough."""


@check()
def works_in_inference_mode(backbone: Backbone) -> None:
    """Features under ``torch.inference_mode`` equal those under ``torch.no_grad``."""
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        wanted = backbone.features(batch)
    with torch.inference_mode():
        given = backbone.features(batch)
    assert torch.equal(given, wanted), "inference mode gives other features"


@check()
def works_under_bfloat16_autocast(backbone: Backbone) -> None:
    """Features keep their direction under bfloat16 autocast, and gradients are finite."""
    backbone.replace_head(2)
    backbone.eval()
    batch = small_batch(backbone)
    device = next(backbone.net.parameters()).device.type
    with torch.no_grad():
        wanted = backbone.features(batch)
    with torch.autocast(device, torch.bfloat16):
        given = backbone.features(batch)
        loss = backbone.head(given).float().square().mean()
    loss.backward()
    assert torch.isfinite(given).all(), "features are not finite in bfloat16"
    lost = [
        n
        for n, p in backbone.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]
    assert not lost, f"{len(lost)} gradients are not finite in bfloat16: {lost[:3]}"
    near = _cosine(given.detach().float(), wanted)
    if near < BF16_COSINE and (rough := _cosine(_rounded(backbone, batch), wanted)) < BF16_COSINE:
        raise NotApplicable(
            f"rounding its values to bfloat16 turns its features as far: cosine {rough:.3f}"
        )
    assert near >= BF16_COSINE, f"cosine {near:.3f} to float32"


def _cosine(given: Tensor, wanted: Tensor) -> float:
    # torch's cosine is 0 for features as small as 1e-14, which random networks may give.
    scale = wanted.abs().max()
    return float(nn.functional.cosine_similarity(given / scale, wanted / scale, dim=1).min())


def _rounded(backbone: Backbone, batch: Batch) -> Tensor:
    """Features in float64, with parameters and inputs rounded to bfloat16."""
    twin = copy.deepcopy(backbone).double()
    with torch.no_grad():
        for parameter in twin.net.parameters():
            parameter.copy_(parameter.bfloat16())
        rounded = {k: v.bfloat16() if v.is_floating_point() else v for k, v in batch.items()}
        return twin.features(like(next(twin.net.parameters()), rounded)).float()


@check(rounds=True)
def can_be_exported(backbone: Backbone) -> None:
    """``torch.export`` with a dynamic batch size, as in ``zoo export``, gives the same outputs."""
    inputs = _export_inputs(backbone)
    try:
        program = copy.copy(capture(backbone, inputs))
    except RunError as error:
        raise AssertionError(f"{error.message}; 'zoo export' needs any batch size") from error
    restore(program)
    network = program.module()
    _compare(backbone, inputs, lambda batch: network(**batch), "the exported program")


@check(rounds=True, once_per_family=True)
def can_be_written_as_onnx(backbone: Backbone) -> None:
    """``zoo export --format onnx`` writes a file that gives the same outputs in ONNX Runtime."""
    exporter = EXPORTERS["onnx"]
    if missing := [name for name in exporter.requires if not find_spec(name)]:
        raise NotApplicable(f"it needs {', '.join(missing)}: {exporter.install}")
    inputs = _export_inputs(backbone)
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_onnx(None, backbone, inputs, Path(folder))
            run = run_onnx(Path(folder))
        except RunError as error:
            raise AssertionError(error.message) from error
        _compare(backbone, inputs, run, "ONNX Runtime")


def _export_inputs(backbone: Backbone) -> ExportInputs:
    """What ``zoo export`` gives the network, which is made ready for it."""
    if backbone.unpadded:
        raise NotApplicable("padding changes its features, so 'zoo export' refuses it")
    size = modality_of(backbone.spec).small_size(backbone.spec)
    if size is not None:
        backbone.spec = backbone.spec.with_input(size=size)
    backbone.replace_head(2)
    backbone.eval()
    tokenizer = tokenizer_of(backbone, any_will_do=True)
    return modality_of(backbone.spec).export_inputs(backbone, tokenizer=tokenizer, pairs=False)


def _compare(backbone: Backbone, inputs: ExportInputs, run: Runner, what: str) -> None:
    reference = next(backbone.net.parameters())
    for batch in inputs.checked():
        named = like(reference, batch)
        with torch.no_grad():
            wanted, given = backbone(named), by_name(run(named))["logits"]
        count = len(next(iter(named.values())))
        assert_close(given, wanted, f"{what} gives other outputs for {count} inputs")


@check(rounds=True)
def adapters_can_be_added_and_merged(backbone: Backbone) -> None:
    """LoRA at the adapter targets starts without effect, alone changes in a step, and can be merged."""
    if not backbone.adapter_targets():
        raise NotApplicable("it has no layers that adapters fit")
    train_a_step(backbone, adapter("lora", ADAPTERS["lora"]))
