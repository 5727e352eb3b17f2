"""GPU utilisation: FLOP/s of training, compared with the measured peak of bfloat16 matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import Result, table
from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import network

SIDE, TIMES = 8192, 50
"""Size of the square matrices, and number of multiplications."""


def utilisation(cases: Sequence[Case], results: Sequence[Result]) -> str:
    """A table of training FLOP/s of each library, and as a percentage of the measured peak.

    A training step is assumed to take three times the FLOPs of the forward pass.
    """
    peak = matrix_peak()
    rows = []
    for case in cases:
        flops = 3 * forward_flops(case.start or "")
        for library in case.libraries:
            key = (case.name, library.name)
            speeds = [r["samples_per_second"] for r in results if (r["case"], r["by"]) == key]
            if speeds:
                rate = statistics.median(speeds) * flops
                percentage = f"{100 * rate / peak:.1f}"
                rows.append([case.heading, library.name, f"{rate / 1e12:.1f}", percentage])
    gpu = torch.cuda.get_device_name()
    caption = f"{gpu}: peak {peak / 1e12:.0f} TFLOP/s ({SIDE} × {SIDE} bfloat16 matrix products)."
    return "\n\n".join([table(["case", "library", "TFLOP/s", "% of peak"], rows), caption])


def matrix_peak() -> float:
    """Measured FLOP/s of matrix products in bfloat16."""
    left, right = torch.randn(2, SIDE, SIDE, device="cuda", dtype=torch.bfloat16)

    def multiply(times: int) -> None:
        for _ in range(times):
            left @ right
        torch.cuda.synchronize()

    multiply(5)
    return 2 * SIDE**3 * TIMES / _seconds(lambda: multiply(TIMES))


def forward_flops(name: str) -> int:
    """FLOPs of the forward pass of one sample; a multiply-add counts as two."""
    with torch.device("meta"):
        net = network(name)
        tokens = torch.zeros(1, 128, dtype=torch.long)
        sample = tokens if name == "bert" else torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(sample)
    return counter.get_total_flops()


def _seconds(function: Callable[[], None]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
