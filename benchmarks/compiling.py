"""When does ``--compile`` repay?

A network trains on made-up batches, and gives features of some, as it is and compiled, in turns.
The compiling is timed with an empty cache, and again in a process that finds what the first has
kept there.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import click

from benchmarks.report import circumstances, put, table
from zoo.engine.feed import PLAIN_BATCH

_ROUNDS = 4


@click.command()
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    default=("resnet18", "hf/sentence-transformers/all-MiniLM-L6-v2"),
)
@click.option("--batch-size", default=32)
@click.option("--precision", default="auto")
@click.option("--job", hidden=True, help="One measurement, in this process.")
def main(backbones: tuple[str, ...], batch_size: int, precision: str, job: str | None) -> None:
    """Measure what compiling costs, and what it gives."""
    if job:
        print(json.dumps(_measured(backbones[0], job == "training", batch_size, precision)))
        return
    rows = []
    for backbone in backbones:
        for what in ("training", "features"):
            with tempfile.TemporaryDirectory() as code:
                options = ("--batch-size", str(batch_size), "--precision", precision)
                cold, warm = (_apart(backbone, what, code, options) for _ in range(2))
            rows.append(_row(backbone, what, batch_size, cold, warm))
    columns = (
        *("network", "batch, s", "compiled, s", "times as fast"),
        *("compiling, s", "kept, s", "repays after"),
    )
    text = f"{table(columns, rows)}\n\n{circumstances('compiling')}"
    print(text)
    put("compiling", text)


def _row(
    backbone: str, what: str, size: int, cold: Mapping[str, Any], warm: Mapping[str, Any]
) -> list[str]:
    plain, quick = (min(cold[key], warm[key]) for key in ("plain", "quick"))
    ratios = [*cold["ratios"], *warm["ratios"]]
    ratio = statistics.median(ratios)
    won = plain * (1 - 1 / ratio)
    after = f"{math.ceil(cold['cost'] / won):,} batches" if won > 0 else "never"
    return [
        f"{backbone}, {what}, batches of {size if what == 'training' else PLAIN_BATCH}",
        f"{plain:.2f}",
        f"{quick:.2f}",
        f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{cold['cost']:.0f}",
        f"{warm['cost']:.0f}",
        after,
    ]


def _apart(backbone: str, what: str, code: str, options: Sequence[str]) -> dict[str, Any]:
    """A measurement in a process of its own, that keeps compiled code in ``code``."""
    command = [sys.executable, "-m", "benchmarks.compiling", "--job", what]
    command += ["--backbone", backbone, *options]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": code}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measured(backbone: str, trains: bool, size: int, precision: str) -> dict[str, Any]:
    import torch

    import zoo
    from zoo.engine.compiling import Trial, Work
    from zoo.engine.device import choose_device
    from zoo.engine.forward import Forward
    from zoo.engine.precision import resolve_precision

    device = choose_device("auto")
    precision = resolve_precision(precision, device)
    torch.manual_seed(0)
    forward = Forward(zoo.load(backbone, weights="none"), device=device, precision=precision)
    work = Work(trained=size if trains else 0, batch=size, inferred=PLAIN_BATCH)
    plain, quick = Trial(forward, work), Trial(forward, work)
    cost = quick.compile()
    times = [(plain.seconds(), quick.seconds()) for _ in range(_ROUNDS)]
    return {
        "cost": cost,
        "plain": min(one for one, _ in times),
        "quick": min(other for _, other in times),
        "ratios": [one / other for one, other in times],
    }


if __name__ == "__main__":
    main()
