"""Is what was learned on A worth having for B?

Ten classes of photographs are dealt into two halves, A and B, every second name to each. A
network learns all of A, gets a name by ``zoo add``, and goes on with ten images a class of B.
Beside it the same network starts on the same images from random parameters: with the same steps,
and with four times as many. The validation images choose each one's epoch, as zoo does it, and
the test images, which nothing else has seen, measure it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from PIL import Image

import zoo
from benchmarks.report import circumstances, percent, put, table
from zoo.engine.progress import Quiet
from zoo.registry.publishing import publish

LONGER = 4


@dataclass(frozen=True, kw_only=True)
class Start:
    """A way to go at B.

    Attributes:
        title: In the table.
        learned: Whether it starts from the run on A, else from random parameters.
        longer: Factor on the epochs.
        options: Of :func:`zoo.finetune`; what is not there is zoo's default.
    """

    title: str
    learned: bool
    longer: int = 1
    options: Mapping[str, Any]


SAME: Mapping[str, Any] = {"strategy": "full", "lr": 1e-3, "layer_decay": 1.0}
"""For a start from A as for one from random parameters, whose defaults these are."""

STARTS = (
    Start(title="from A: full, as from scratch", learned=True, options=SAME),
    Start(title="from A: two-stage (default)", learned=True, options={}),
    Start(title="from scratch: full", learned=False, options=SAME),
    Start(
        title=f"from scratch: full, {LONGER} times as long",
        learned=False,
        longer=LONGER,
        options=SAME,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, on what, and how long."""

    backbone: str
    source: Path
    work: Path
    shots: int
    first_epochs: int
    epochs: int
    batch_size: int
    image_size: int

    @property
    def halves(self) -> tuple[list[str], list[str]]:
        """The class names of A and of B: every second one of the sorted names."""
        names = sorted(path.name for path in (self.source / "train").iterdir() if path.is_dir())
        return names[::2], names[1::2]

    @property
    def steps(self) -> int:
        """Steps of the optimiser on B."""
        return self.epochs * -(-self.shots * len(self.halves[1]) // self.batch_size)


photographs = click.option(
    "--data",
    "source",
    default="../shared/data/clothing",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with train, val and test of class folders.",
)


@click.command()
@photographs
@click.option("--backbone", default="cnn", show_default=True, help="As in zoo list.")
@click.option("--seeds", default="0,1,2", show_default=True, help="One of each kind for each.")
@click.option("--shots", default=10, show_default=True, help="Training images a class of B.")
@click.option("--first-epochs", default=60, show_default=True, help="Passes over A.")
@click.option("--epochs", default=20, show_default=True, help="Passes over B's few images.")
@click.option("--batch-size", default=10, show_default=True, help="On B.")
@click.option("--image-size", default=32, show_default=True, help="Height and width in pixels.")
@click.option("--jobs", default=2, show_default=True, help="Seeds at a time.")
@click.option("--write/--no-write", default=True, help="Whether the table goes into README.md.")
def main(seeds: str, jobs: int, write: bool, **options: Any) -> None:
    """Measure what a start from another task's run is worth."""
    numbers = [int(seed) for seed in seeds.split(",")]
    with tempfile.TemporaryDirectory() as work:
        # The name that the measurement gives is not for the user's own registry.toml.
        os.environ["XDG_CONFIG_HOME"] = os.path.join(work, "config")
        plan = Plan(work=Path(work), **options)
        shrink(plan)
        # A network this small gains nothing from a second thread; a second seed does.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
            measured = list(pool.map(measure, [plan] * len(numbers), numbers))
    text = report(plan, measured, numbers)
    print(text)
    if write:
        put(f"transfer {plan.backbone}", text)


def shrink(plan: Plan) -> None:
    """Copies of all images at a size that is quickly read: twice what the network sees."""
    for path in sorted(plan.source.glob("*/*/*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        target = plan.work / "images" / path.relative_to(plan.source).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            factor = 2 * plan.image_size / min(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=95)


def lay_out(plan: Plan, seed: int) -> tuple[Path, Path]:
    """The folders of A, and of B with as few training images as the plan says."""
    images, folder = plan.work / "images", plan.work / f"seed-{seed}"
    generator = random.Random(seed)
    first, second = plan.halves
    for name in first:
        for split in ("train", "val", "test"):
            shutil.copytree(images / split / name, folder / "a" / split / name)
    for name in second:
        few = generator.sample(sorted((images / "train" / name).iterdir()), plan.shots)
        target = folder / "b" / "train" / name
        target.mkdir(parents=True)
        for path in few:
            shutil.copy(path, target)
        for split in ("val", "test"):
            shutil.copytree(images / split / name, folder / "b" / split / name)
    return folder / "a", folder / "b"


def measure(plan: Plan, seed: int) -> dict[str, float]:
    """Accuracy on the test images by title: of the run on A on A, and of each start on B."""
    a, b = lay_out(plan, seed)
    runs = a.parent / "runs"
    common: dict[str, Any] = {
        "image_size": plan.image_size,
        "seed": seed,
        "workers": 0,
        "reporter": Quiet(),
    }
    first = zoo.finetune(
        plan.backbone, a, weights="none", epochs=plan.first_epochs, output=runs / "a", **common
    )
    name = f"learned-on-a-{seed}"
    publish(name, first.folder, registry=zoo.Registry.discover())
    accuracies = {"A": _accuracy(first, a, seed, "A")}
    for number, start in enumerate(STARTS):
        run = zoo.finetune(
            name if start.learned else plan.backbone,
            b,
            weights="auto" if start.learned else "none",
            epochs=plan.epochs * start.longer,
            batch_size=plan.batch_size,
            output=runs / f"b-{number}",
            **common,
            **start.options,
        )
        accuracies[start.title] = _accuracy(run, b, seed, start.title)
    return accuracies


def _accuracy(run: zoo.Run, data: Path, seed: int, title: str) -> float:
    accuracy = run.evaluate(data, split="test", workers=0)["test"].metrics["accuracy"]
    seconds = run.record["results"]["seconds"]
    click.echo(f"seed {seed}  {accuracy:.4f}  {seconds:4.0f} s  {title}", err=True)
    return accuracy


def report(plan: Plan, measured: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> str:
    """The table, with the differences seed by seed, and what it was measured on."""

    def of(title: str) -> list[float]:
        return [accuracies[title] for accuracies in measured]

    scratch = [start.title for start in STARTS if not start.learned]
    columns = ["start", "steps", "accuracy, %", "ahead of scratch", f"of scratch × {LONGER}"]
    rows = []
    for start in STARTS:
        ahead = [
            percent([own - other for own, other in zip(of(start.title), of(title), strict=True)])
            for title in scratch
        ]
        cells = ahead if start.learned else ["", ""]
        rows.append([start.title, str(plan.steps * start.longer), percent(of(start.title)), *cells])
    first, second = plan.halves
    facts = (
        f"`{plan.backbone}`, {plan.image_size} pixels, seeds {', '.join(map(str, seeds))}: mean ± "
        f"standard deviation, differences seed by seed. A: {', '.join(first)}, accuracy "
        f"{percent(of('A'))} %. B: {', '.join(second)}, {plan.shots} training images per class; "
        f"chance is {100 / len(second):.0f} %."
    )
    return "\n\n".join([table(columns, rows), facts, circumstances("transfer")])


if __name__ == "__main__":
    main()
