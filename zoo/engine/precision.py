"""The precision to compute in."""

from __future__ import annotations

import time

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

    On a CPU ``auto`` also times a step in each: not every network gains from bfloat16 there.

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
    if precision == EXACT:
        return precision
    if not (reason := _failure(backbone, device, precision, trains=trains)):
        if requested == "auto" and device.type == "cpu":
            return _faster(backbone, device, precision, trains=trains)
        return precision
    name, words = backbone.spec.name, str(AUTOCAST[precision]).removeprefix("torch.")
    if requested != "auto":
        raise UsageError(
            f"{name} does not work in {words}: {reason}",
            hint="Use --precision fp32.",
        )
    reporter.note(f"{name} does not work in {words} ({reason}); using fp32")
    return EXACT


_GAIN = 1.1
"""By which factor the lower precision must be faster than float32."""

_ROUNDS = 3  # steps in each precision, of which the fastest counts
_SAMPLES = 4  # of each, if there is time
_BUDGET = 1.5  # seconds after which no further round begins


def _faster(backbone: Backbone, device: torch.device, precision: str, *, trains: bool) -> str:
    """``precision`` if a step in it is faster than in float32, by :data:`_GAIN`; else float32.

    The steps alternate, so that other load on the machine slows down both.
    """

    def in_both(samples: int) -> tuple[float, float]:
        exact, other = (
            step_seconds(backbone, device, each, samples=samples, trains=trains)
            for each in (EXACT, precision)
        )
        return exact, other

    rounds, left = [in_both(1)], _BUDGET
    left -= sum(rounds[0])
    samples = _SAMPLES if _SAMPLES * sum(rounds[0]) <= left else 1
    if samples > 1:
        rounds.clear()  # it has warmed up
    while len(rounds) < _ROUNDS and left >= sum(rounds[-1] if rounds else ()):
        rounds.append(in_both(samples))
        left -= sum(rounds[-1])
    exact, other = map(min, zip(*rounds, strict=True))
    return precision if exact > _GAIN * other else EXACT


def step_seconds(
    backbone: Backbone, device: torch.device, precision: str, *, samples: int, trains: bool
) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    _step(backbone, device, precision, samples=samples, trains=trains)
    return time.perf_counter() - began


def _failure(backbone: Backbone, device: torch.device, precision: str, *, trains: bool) -> str:
    """Why a forward or, if it trains, backward pass fails; empty if it does not."""
    try:
        finite = _step(backbone, device, precision, samples=0, trains=trains)
        return "" if finite else "its outputs or gradients are not finite"
    except RuntimeError as error:  # e.g. a mask value that overflows
        return first_line(error)


def _step(
    backbone: Backbone, device: torch.device, precision: str, *, samples: int, trains: bool
) -> bool:
    """Whether features and gradients of one step are finite.

    In evaluation mode, so that statistics and random states do not change.

    Args:
        backbone: Its gradients are removed.
        device: The device to compute on.
        precision: The precision.
        samples: Random inputs of the largest shape; 0 for two, one of them padded.
        trains: Whether there is a backward pass.
    """
    spec = backbone.spec
    forward, modality = Forward(backbone, device=device, precision=precision), modality_of(spec)
    inputs = (
        modality.random_batch(spec, samples, size=modality.largest_size(spec))
        if samples
        else modality.padded_batch(spec)
    )
    batch = forward.place(inputs)
    parameters = [p for p in backbone.eval().net.parameters() if p.requires_grad]
    try:
        with torch.set_grad_enabled(trains), forward.autocast():
            features = forward.backbone.features(batch).float()
        tensors = [features]
        if trains and features.requires_grad:
            features.square().sum().backward()  # type: ignore[no-untyped-call]
            tensors += [p.grad for p in parameters if p.grad is not None]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
    finally:
        for parameter in parameters:
            parameter.grad = None
