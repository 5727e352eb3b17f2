"""Which numbers to compute with."""

from __future__ import annotations

import torch

from zoo.contract.backbone import Backbone
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter
from zoo.errors import UsageError, first_line
from zoo.modalities import modality_of


def resolve_precision(requested: str, device: torch.device) -> str:
    """``bf16`` or ``fp32``; ``auto`` takes bfloat16 where the device is fast at it.

    That is a processor with AMX or AVX512-BF16, a CUDA device of compute capability 8 (Ampere)
    or later, or another accelerator that says that it supports it. Elsewhere bfloat16 is
    emulated and slower than float32.
    """
    if requested != "auto":
        return requested
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        fast = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    elif device.type == "cuda":
        fast = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        fast = False
    return "bf16" if fast else "fp32"


def choose_precision(
    requested: str, backbone: Backbone, device: torch.device, reporter: Reporter, *, trains: bool
) -> str:
    """As :func:`resolve_precision`, where the network can compute so, which is tried.

    Args:
        requested: As of the request.
        backbone: Moved to ``device``.
        device: Where it computes.
        reporter: Is told where ``auto`` takes float32 because of the network.
        trains: Whether the backbone trains, and gradients must be finite too.

    Raises:
        UsageError: ``bf16`` was asked for, and the network cannot.
    """
    precision = resolve_precision(requested, device)
    if precision == "fp32" or not (reason := _fault_in_bf16(backbone, device, trains=trains)):
        return precision
    name = backbone.spec.name
    if requested == "bf16":
        raise UsageError(
            f"{name} cannot compute in bfloat16: {reason}",
            hint="Leave it out: --precision fp32",
        )
    reporter.note(f"{name} cannot compute in bfloat16 ({reason}); it computes in fp32")
    return "fp32"


def _fault_in_bf16(backbone: Backbone, device: torch.device, *, trains: bool) -> str:
    """What goes wrong forwards, or backwards where it trains; empty where nothing does.

    In evaluation mode, so that no statistics move and no random numbers are drawn.
    """
    forward = Forward(backbone, device=device, precision="bf16")
    batch = forward.place(modality_of(backbone.spec).padded_batch(backbone.spec))
    parameters = [p for p in backbone.eval().net.parameters() if p.requires_grad]
    try:
        with torch.set_grad_enabled(trains), forward.autocast():
            features = forward.backbone.features(batch).float()
        made = [features]
        if trains and features.requires_grad:
            features.square().sum().backward()  # type: ignore[no-untyped-call]
            made += [p.grad for p in parameters if p.grad is not None]
        numbers = all(bool(torch.isfinite(tensor).all()) for tensor in made)
        return "" if numbers else "what it gives is not finite"
    except RuntimeError as error:  # e.g. a mask of float32's smallest number, which overflows
        return first_line(error)
    finally:
        for parameter in parameters:
            parameter.grad = None
