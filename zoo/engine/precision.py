"""Which numbers to compute with."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def resolve_precision(wish: str, device: torch.device) -> str:
    """``bf16`` or ``fp32``; ``auto`` takes bfloat16 where the device is fast at it.

    That is a processor with AMX or AVX512-BF16, a CUDA device of compute capability 8 (Ampere)
    or later, or another accelerator that says that it supports it. Elsewhere bfloat16 is
    emulated and slower than float32.
    """
    if wish != "auto":
        return wish
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        fast = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    elif device.type == "cuda":
        fast = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        fast = False
    return "bf16" if fast else "fp32"
