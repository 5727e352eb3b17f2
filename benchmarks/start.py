"""CPU time of starting a command, compared with importing torch.

Measures ``zoo predict`` of one image or text, and ``zoo finetune`` until the end of its first step, each in a
new process. The commands alternate, so that other load on the machine affects all of them equally.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

import zoo
from benchmarks.report import provenance, table, update_section
from zoo.engine.progress import Quiet

FIRST_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from zoo.cli import main
register_optimizer_step_post_hook(lambda *_: os._exit(0))
main()
"""
PREDICT, FINETUNE = 1.6, 2.5
"""Targets: maximum CPU time, as a multiple of ``import torch``."""


@click.command()
@click.option("--rounds", default=3, help="Runs per command; the median is reported.")
def main(rounds: int) -> None:
    """Measure the start-up time of zoo predict and zoo finetune."""
    with tempfile.TemporaryDirectory() as temporary:
        commands = _commands(Path(temporary))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds):
            for name, (command, _) in commands.items():
                output = [str(Path(temporary) / f"{name}-{number}")] * command[-1:].count(
                    "--output"
                )
                seconds[name].append(_cpu_time([*command, *output], temporary))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    torch = medians["import torch"]
    rows = [
        [name, f"{value:.2f}", f"{value / torch:.2f}", f"{target:g}" if target else ""]
        for (name, value), (_, target) in zip(medians.items(), commands.values(), strict=True)
    ]
    columns = ("command", "CPU time, s", "times import torch", "target")
    text = f"{table(columns, rows)}\n\n{provenance('start')}"
    print(text)
    update_section("start", text)


def _commands(folder: Path) -> Mapping[str, tuple[Sequence[str], float]]:
    """Arguments of Python and the target, by name; trains the runs used for prediction."""
    image = _trained("cnn", folder / "image")
    library = _trained("resnet18", folder / "library", image_size=32)
    text = _trained("lstm", folder / "text")
    example = str(image / "example.png")
    first = ["-c", FIRST_STEP, "finetune"]
    rest = ["--epochs", "1", "--no-report", "--output"]
    return {
        "import torch": (["-c", "import torch"], 0),
        "zoo predict, CNN": (["-m", "zoo", "predict", str(image), example], PREDICT),
        "zoo predict, ResNet-18": (["-m", "zoo", "predict", str(library), example], PREDICT),
        "zoo predict, LSTM": (["-m", "zoo", "predict", str(text), "a parcel"], PREDICT),
        "zoo finetune, CNN": ([*first, "cnn", *rest], FINETUNE),
        "zoo finetune, LSTM": ([*first, "lstm", *rest], FINETUNE),
        "zoo finetune, ResNet-18": (
            [*first, "resnet18", "--weights", "none", "--image-size", "32", *rest],
            FINETUNE,
        ),
    }


def _trained(backbone: str, output: Path, image_size: int | None = None) -> Path:
    return zoo.finetune(
        backbone,
        output=output,
        image_size=image_size,
        weights="none",
        classes=2,
        epochs=1,
        report=False,
        reporter=Quiet(),
    ).folder


def _cpu_time(arguments: Sequence[str], folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
