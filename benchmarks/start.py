"""How much processor time passes before a command does its work, against importing torch alone?

``zoo predict`` of one image and of one text, and ``zoo finetune`` until the end of its first step, each
as a new process. In turns, so that other load on the machine affects all alike.
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
from benchmarks.report import circumstances, put, table
from zoo.engine.progress import Quiet

FIRST_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from zoo.cli import main
register_optimizer_step_post_hook(lambda *_: os._exit(0))
main()
"""
PREDICT, FINETUNE = 1.6, 2.5
"""Bars: at most so many times the processor time of ``import torch``."""


@click.command()
@click.option("--rounds", default=3, help="Processes of each; the median counts.")
def main(rounds: int) -> None:
    """Measure the start of zoo predict and zoo finetune."""
    with tempfile.TemporaryDirectory() as temporary:
        commands = _commands(Path(temporary))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds):
            for name, (command, _) in commands.items():
                output = [str(Path(temporary) / f"{name}-{number}")] * command[-1:].count(
                    "--output"
                )
                seconds[name].append(_processor_time([*command, *output], temporary))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    torch = medians["import torch"]
    rows = [
        [name, f"{value:.2f}", f"{value / torch:.2f}", f"{bar:g}" if bar else ""]
        for (name, value), (_, bar) in zip(medians.items(), commands.values(), strict=True)
    ]
    columns = ("command", "processor time, s", "times import torch", "bar")
    text = f"{table(columns, rows)}\n\n{circumstances('start')}"
    print(text)
    put("start", text)


def _commands(folder: Path) -> Mapping[str, tuple[Sequence[str], float]]:
    """Arguments of Python and the bar, by name; the runs to predict with are trained before."""
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


def _processor_time(arguments: Sequence[str], folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
