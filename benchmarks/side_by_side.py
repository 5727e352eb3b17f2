"""Two trainings on the same cores: at the same time, compared with one after the other.

With threads that spin while they wait, two processes on shared cores hinder each other; with
``OMP_WAIT_POLICY=PASSIVE``, which ``zoo`` sets unless the user has chosen, they sleep.
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

from benchmarks.report import circumstances, put, table

POLICIES: Mapping[str, Mapping[str, str]] = {
    "zoo's default": {},
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
}


@click.command()
@click.option("--model", default="resnet18", show_default=True)
@click.option(
    "--data", default="../shared/data/clothing", type=click.Path(path_type=Path), show_default=True
)
@click.option("--image-size", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(model: str, data: Path, image_size: int, rounds: int) -> None:
    """Measure a training alone, and two at the same time, in turns."""
    options = [model, "--weights", "none", "--data", str(data), "--image-size", str(image_size)]
    options += ["--strategy", "full", "--epochs", "1", "--no-report"]
    alone: dict[str, list[float]] = {name: [] for name in POLICIES}
    both: dict[str, list[float]] = {name: [] for name in POLICIES}
    with tempfile.TemporaryDirectory() as folder:
        _train(options, Path(folder) / "first", {}, 1)  # fills the caches
        for number in range(rounds):
            for name, environment in POLICIES.items():
                output = Path(folder) / f"{name}-{number}"
                alone[name].append(_train(options, output / "alone", environment, 1))
                both[name].append(_train(options, output / "both", environment, 2))
    rows = [_row(name, alone[name], both[name]) for name in POLICIES]
    columns = ["threads", "alone, s", "two at once, s", "compared with one after the other"]
    text = f"{table(columns, rows)}\n\nMedians. {circumstances('side_by_side')}"
    print(text)
    put("side by side", text)


def _row(name: str, alone: Sequence[float], both: Sequence[float]) -> list[str]:
    one, two = statistics.median(alone), statistics.median(both)
    return [name, f"{one:.1f}", f"{two:.1f}", f"{two / (2 * one):.2f} ×"]


def _train(
    options: Sequence[str], output: Path, environment: Mapping[str, str], count: int
) -> float:
    """Seconds of ``count`` processes at the same time, from start to end."""
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
