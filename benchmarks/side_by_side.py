"""Two training runs on the same cores, in parallel and one after the other.

Two processes on shared cores slow each other down when waiting threads spin. With ``OMP_WAIT_POLICY=PASSIVE``,
which ``zoo`` sets unless the user has set it, waiting threads sleep.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.report import provenance, table, update_section

POLICIES: Mapping[str, Mapping[str, str]] = {
    "zoo's default": {},
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
}

TARGETS: Mapping[str, float] = {"zoo's default": 1.15}
"""The maximum time of two runs in parallel, as a multiple of the time of one after the other."""


@click.command()
@click.option("--model", default="resnet18", show_default=True)
@click.option(
    "--data", default="../shared/data/clothing", type=click.Path(path_type=Path), show_default=True
)
@click.option("--image-size", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(model: str, data: Path, image_size: int, rounds: int) -> None:
    """Measure one training run, and two in parallel, alternately."""
    options = [model, "--weights", "none", "--data", str(data), "--image-size", str(image_size)]
    options += ["--strategy", "full", "--epochs", "1", "--no-report"]
    alone: dict[str, list[float]] = {name: [] for name in POLICIES}
    parallel: dict[str, list[float]] = {name: [] for name in POLICIES}
    with tempfile.TemporaryDirectory() as folder:
        _train(options, Path(folder) / "first", {}, 1)  # fills the caches
        for number in range(rounds):
            for name, environment in POLICIES.items():
                output = Path(folder) / f"{name}-{number}"
                alone[name].append(_train(options, output / "alone", environment, 1))
                parallel[name].append(_train(options, output / "parallel", environment, 2))
    rows = [_row(name, alone[name], parallel[name]) for name in POLICIES]
    columns = [
        "waiting threads",
        "one run, s",
        "two in parallel, s",
        "compared with sequential",
        "target",
    ]
    text = f"{table(columns, rows)}\n\nMedians. {provenance('side_by_side')}"
    print(text)
    update_section("side by side", text)


def _row(name: str, alone: Sequence[float], parallel: Sequence[float]) -> list[str]:
    one, two = statistics.median(alone), statistics.median(parallel)
    return [
        name,
        f"{one:.1f}",
        f"{two:.1f}",
        f"{two / (2 * one):.2f} ×",
        f"at most {TARGETS[name]:g} ×" if name in TARGETS else "",
    ]


def _train(
    options: Sequence[str], output: Path, environment: Mapping[str, str], count: int
) -> float:
    """Total time of ``count`` parallel processes, in seconds."""
    began = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "zoo", "finetune", *options, "--output", f"{output}-{number}"],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise click.ClickException(f"zoo finetune {' '.join(options)} failed")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
