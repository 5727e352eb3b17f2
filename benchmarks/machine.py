"""The machine, and its kind: results of different kinds of machine are kept apart."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch

import zoo
from zoo.system.processor import usable_cores

AMX, AVX512_BF16, AVX2 = "amx", "avx512-bf16", "avx2"

_TITLES: Mapping[str, str] = {
    AMX: "Processor with bfloat16 matrix units (AMX)",
    AVX512_BF16: "Processor with AVX512-BF16, without AMX",
    AVX2: "Processor with AVX2, without bfloat16",
}


@cache
def kind(device: str = "cpu") -> str:
    """The kind of machine, usable in file names: ``amx``, ``avx512-bf16``, ``avx2`` or another
    architecture; with a GPU its name, such as ``nvidia-h200``.
    """
    if device != "cpu":
        return re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    able = torch.cpu.get_capabilities()
    for name, flag in ((AMX, "amx_bf16"), (AVX512_BF16, "avx512_bf16"), (AVX2, "avx2")):
        if able.get(flag):
            return name
    return platform.machine().lower() or "cpu"


def title(of: str, device: str = "cpu") -> str:
    """The heading of a kind of machine."""
    return _TITLES.get(of, device_name(device) if device != "cpu" else f"Processor: {of}")


def machine(device: str = "cpu") -> str:
    """The processor and GPU, and the versions of zoo, torch and Python."""
    gpu = "" if device == "cpu" else f"{device_name(device)}, "
    return (
        f"{gpu}{_processor()}, {usable_cores():g} cores, zoo {zoo.__version__}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def device_name(device: str) -> str:
    """Name of a CUDA device; for another, the device itself."""
    return str(torch.cuda.get_device_name()) if device == "cuda" else device


def _processor() -> str:
    """The processor's model name if available, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
