"""GPU utilisation: FLOP/s of training, compared with the measured peak of bfloat16 matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import device_name
from benchmarks.report import Result, table
from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import network

SIDE, TIMES = 8192, 50
"""Size of the square matrices, and number of multiplications; a processor gets smaller ones."""


def utilisation(cases: Sequence[Case], results: Sequence[Result], device: str, size: int) -> str:
    """A table of training FLOP/s of each library, and as a percentage of the measured peak.

    A training step is assumed to take three times the FLOPs of the forward pass.

    Args:
        cases: Cases with throughput are shown.
        results: Their results.
        device: ``cuda``, or ``cpu`` for a trial.
        size: Height and width of images; at most so many tokens.
    """
    side = SIDE if device == "cuda" else 256
    peak = matrix_peak(device, side)
    rows = []
    for case in cases:
        if not case.throughput:
            continue
        flops = 3 * forward_flops(case.start or "", size)
        for library in case.libraries:
            key = (case.name, library.name)
            speeds = [r["steady"] for r in results if (r["case"], r["by"]) == key and "steady" in r]
            if speeds:
                rate = statistics.median(speeds) * flops
                percentage = f"{100 * rate / peak:.1f}"
                rows.append([case.heading, library.name, f"{rate / 1e12:.3g}", percentage])
    caption = f"{device_name(device)}: peak {peak / 1e12:.3g} TFLOP/s ({side} × {side} bfloat16 matrix products)."
    return "\n\n".join([table(["case", "library", "TFLOP/s", "% of peak"], rows), caption])


def matrix_peak(device: str, side: int) -> float:
    """Measured FLOP/s of matrix products in bfloat16."""
    left, right = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)

    def multiply(times: int) -> None:
        for _ in range(times):
            left @ right
        if device == "cuda":
            torch.cuda.synchronize()

    multiply(5)
    return 2 * side**3 * TIMES / _seconds(lambda: multiply(TIMES))


def forward_flops(name: str, size: int) -> int:
    """FLOPs of the forward pass of one sample; a multiply-add counts as two."""
    with torch.device("meta"):
        net = network(name, size)
        tokens = torch.zeros(1, min(size, 128), dtype=torch.long)
        sample = tokens if name == "bert" else torch.zeros(1, 3, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(sample)
    return counter.get_total_flops()


def _seconds(function: Callable[[], None]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
