"""The precision to compute in."""

from __future__ import annotations

import torch

from zoo.contract.network.backbone import Backbone
from zoo.engine.forward import AUTOCAST, EXACT, Forward
from zoo.engine.progress import Reporter
from zoo.errors import UsageError, first_line
from zoo.modalities import modality_of


def resolve_precision(requested: str, device: torch.device) -> str:
    """``bf16``, ``fp16`` or ``fp32``; ``auto`` chooses what the device is fast at.

    bfloat16 on a processor with AMX or AVX512-BF16, or a CUDA device of compute capability 8
    (Ampere) or later; float16 on one of capability 7 (V100, T4, RTX 20), which has no fast bfloat16.
    Elsewhere either is emulated and slower than float32, or untested.
    """
    if requested != "auto":
        return requested
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "fp32"
    if device.type == "cuda":
        capability, _ = torch.cuda.get_device_capability(device)
        return "bf16" if capability >= 8 else "fp16" if capability == 7 else "fp32"
    return "fp32"


def choose_precision(
    requested: str, backbone: Backbone, device: torch.device, reporter: Reporter, *, trains: bool
) -> str:
    """As :func:`resolve_precision`, after a test that the network works in that precision.

    Args:
        requested: ``auto``, ``bf16``, ``fp16`` or ``fp32``.
        backbone: Moved to ``device``.
        device: The device to compute on.
        reporter: Receives a note if the network makes ``auto`` choose float32.
        trains: Whether the backbone trains, so that gradients must be finite too.

    Raises:
        UsageError: ``bf16`` or ``fp16`` was requested, and the network does not work in it.
    """
    precision = resolve_precision(requested, device)
    if precision == EXACT or not (reason := _failure(backbone, device, precision, trains=trains)):
        return precision
    name, words = backbone.spec.name, str(AUTOCAST[precision]).removeprefix("torch.")
    if requested != "auto":
        raise UsageError(
            f"{name} does not work in {words}: {reason}",
            hint="Use --precision fp32.",
        )
    reporter.note(f"{name} does not work in {words} ({reason}); using fp32")
    return EXACT


def _failure(backbone: Backbone, device: torch.device, precision: str, *, trains: bool) -> str:
    """Why a forward or, if it trains, backward pass fails; empty if it does not.

    In evaluation mode, so that statistics and random states do not change.
    """
    forward = Forward(backbone, device=device, precision=precision)
    batch = forward.place(modality_of(backbone.spec).padded_batch(backbone.spec))
    parameters = [p for p in backbone.eval().net.parameters() if p.requires_grad]
    try:
        with torch.set_grad_enabled(trains), forward.autocast():
            features = forward.backbone.features(batch).float()
        tensors = [features]
        if trains and features.requires_grad:
            features.square().sum().backward()  # type: ignore[no-untyped-call]
            tensors += [p.grad for p in parameters if p.grad is not None]
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
        return "" if finite else "its outputs or gradients are not finite"
    except RuntimeError as error:  # e.g. a mask value that overflows
        return first_line(error)
    finally:
        for parameter in parameters:
            parameter.grad = None
