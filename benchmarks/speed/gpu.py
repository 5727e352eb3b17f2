"""How much of what a CUDA card can do is done: against its measured bfloat16 matrix products."""

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
"""Of the square matrices, and how often they are multiplied."""


def shares(cases: Sequence[Case], results: Sequence[Result]) -> str:
    """A table of the floating-point operations a second of everybody's training, and their share.

    A step is taken for three times the operations of the forward pass.
    """
    peak = matrix_peak()
    rows = []
    for case in cases:
        work = 3 * forward_operations(case.start or "")
        for one in case.contestants:
            own = (case.name, one.name)
            speeds = [r["samples_per_second"] for r in results if (r["case"], r["by"]) == own]
            if speeds:
                rate = statistics.median(speeds) * work
                row = [case.heading, one.name, f"{rate / 1e12:.1f}", f"{100 * rate / peak:.1f}"]
                rows.append(row)
    card = torch.cuda.get_device_name()
    told = f"{card}: {peak / 1e12:.0f} Tflop/s in products of {SIDE} × {SIDE} matrices of bfloat16."
    return "\n\n".join([table(["piece of work", "by", "Tflop/s", "of the peak, %"], rows), told])


def matrix_peak() -> float:
    """Floating-point operations a second of matrix products in bfloat16."""
    left, right = torch.randn(2, SIDE, SIDE, device="cuda", dtype=torch.bfloat16)

    def multiply(times: int) -> None:
        for _ in range(times):
            left @ right
        torch.cuda.synchronize()

    multiply(5)
    return 2 * SIDE**3 * TIMES / _seconds(lambda: multiply(TIMES))


def forward_operations(name: str) -> int:
    """Floating-point operations of one sample's forward pass, two for a multiplication and sum."""
    with torch.device("meta"):
        net = network(name)
        tokens = torch.zeros(1, 128, dtype=torch.long)
        sample = tokens if name == "bert" else torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(sample)
    return counter.get_total_flops()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
