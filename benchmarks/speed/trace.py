"""A profile of zoo's training steps: a table of the operators that take longest, as a text file.

The process is ``zoo finetune`` itself, stopped after the profiled steps.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, profile

ROWS = 40


def main() -> None:
    """Arguments: the file to write, the number of steps before and of profiled steps, then zoo's."""
    path, before, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sys.argv[1:] = sys.argv[4:]
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    profiler, steps = profile(activities=activities, record_shapes=False), 0

    def stepped(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == before:
            profiler.start()
        if steps == before + count:
            profiler.stop()
            path.write_text(_text(profiler, count), encoding="utf-8")
            os._exit(0)

    register_optimizer_step_post_hook(stepped)
    from zoo.cli import main as zoo

    zoo()


def _text(profiler: profile, steps: int) -> str:
    events = profiler.key_averages()
    orders = ["self_cpu_time_total"]
    orders += ["self_device_time_total"] if torch.cuda.is_available() else []
    tables = [
        f"{steps} steps, by {order}:\n{events.table(sort_by=order, row_limit=ROWS, max_name_column_width=60)}"
        for order in orders
    ]
    return "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    main()
