"""Transfer learning from A to B, compared with training from scratch.

Ten classes of photographs are split into two halves, A and B, alternating in alphabetical order. A
network is trained on all of A, registered as by ``zoo add``, and fine-tuned on ten images per class of B.
Baselines: the same network trained from scratch on the same images of B, with the same number of steps
and with four times as many. The best epoch is selected on validation images; accuracy is measured on
test images, which are not used otherwise.
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
from benchmarks.report import percent, provenance, table, update_readme
from zoo.engine.progress import Quiet
from zoo.registry.publishing import publish

LONGER = 4


@dataclass(frozen=True, kw_only=True)
class TrainingVariant:
    """A way to train on B.

    Attributes:
        title: Label in the table.
        pretrained: Whether to start from the run on A; otherwise from random weights.
        longer: Multiplier for the number of epochs.
        options: Options of :func:`zoo.finetune`; others have zoo's defaults.
    """

    title: str
    pretrained: bool
    longer: int = 1
    options: Mapping[str, Any]


SAME: Mapping[str, Any] = {"strategy": "full", "lr": 1e-3, "layer_decay": 1.0}
"""zoo's defaults for training from scratch, used with pretrained weights too."""

VARIANTS = (
    TrainingVariant(title="from A: full, as from scratch", pretrained=True, options=SAME),
    TrainingVariant(title="from A: two-stage (default)", pretrained=True, options={}),
    TrainingVariant(title="from scratch: full", pretrained=False, options=SAME),
    TrainingVariant(
        title=f"from scratch: full, {LONGER} times as long",
        pretrained=False,
        longer=LONGER,
        options=SAME,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Backbone, data and training settings."""

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
        """Class names of A and B, alternating in alphabetical order."""
        names = sorted(path.name for path in (self.source / "train").iterdir() if path.is_dir())
        return names[::2], names[1::2]

    @property
    def steps(self) -> int:
        """Number of optimiser steps on B."""
        return self.epochs * -(-self.shots * len(self.halves[1]) // self.batch_size)


photographs = click.option(
    "--data",
    "source",
    default="../shared/data/clothing",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with train, val and test, each with a folder per class.",
)


@click.command()
@photographs
@click.option("--backbone", default="cnn", show_default=True, help="Name as in zoo list.")
@click.option(
    "--seeds",
    default="0,1,2",
    show_default=True,
    help="Comma-separated seeds; one set of runs each.",
)
@click.option("--shots", default=10, show_default=True, help="Training images per class of B.")
@click.option("--first-epochs", default=60, show_default=True, help="Number of epochs on A.")
@click.option("--epochs", default=20, show_default=True, help="Number of epochs on B.")
@click.option("--batch-size", default=10, show_default=True, help="Batch size on B.")
@click.option("--image-size", default=32, show_default=True, help="Height and width in pixels.")
@click.option("--jobs", default=2, show_default=True, help="Number of seeds to run in parallel.")
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(seeds: str, jobs: int, write: bool, **options: Any) -> None:
    """Compare fine-tuning from another task's run with training from scratch."""
    all_seeds = [int(seed) for seed in seeds.split(",")]
    with tempfile.TemporaryDirectory() as work:
        # Keep the user's registry.toml unchanged.
        os.environ["XDG_CONFIG_HOME"] = os.path.join(work, "config")
        plan = Plan(work=Path(work), **options)
        shrink(plan)
        # One thread per process: small networks do not gain from more, parallel seeds do.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
            measured = list(pool.map(measure, [plan] * len(all_seeds), all_seeds))
    text = report(plan, measured, all_seeds)
    print(text)
    if write:
        update_readme(f"transfer {plan.backbone}", text)


def shrink(plan: Plan) -> None:
    """Copy all images at twice the input size of the network, to load them faster."""
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
    """Create the folders of A and B, B with ``plan.shots`` training images per class."""
    images, folder = plan.work / "images", plan.work / f"seed-{seed}"
    generator = random.Random(seed)
    first, second = plan.halves
    for name in first:
        for split in ("train", "val", "test"):
            shutil.copytree(images / split / name, folder / "a" / split / name)
    for name in second:
        sampled = generator.sample(sorted((images / "train" / name).iterdir()), plan.shots)
        target = folder / "b" / "train" / name
        target.mkdir(parents=True)
        for path in sampled:
            shutil.copy(path, target)
        for split in ("val", "test"):
            shutil.copytree(images / split / name, folder / "b" / split / name)
    return folder / "a", folder / "b"


def measure(plan: Plan, seed: int) -> dict[str, float]:
    """Accuracy on test images: of the run on A (key ``A``), and of each variant on B, by title."""
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
    name = f"pretrained-on-a-{seed}"
    publish(name, first.folder, registry=zoo.Registry.discover())
    accuracies = {"A": _accuracy(first, a, seed, "A")}
    for number, variant in enumerate(VARIANTS):
        run = zoo.finetune(
            name if variant.pretrained else plan.backbone,
            b,
            weights="auto" if variant.pretrained else "none",
            epochs=plan.epochs * variant.longer,
            batch_size=plan.batch_size,
            output=runs / f"b-{number}",
            **common,
            **variant.options,
        )
        accuracies[variant.title] = _accuracy(run, b, seed, variant.title)
    return accuracies


def _accuracy(run: zoo.Run, data: Path, seed: int, title: str) -> float:
    accuracy = run.evaluate(data, split="test", workers=0)["test"].metrics["accuracy"]
    seconds = run.record["results"]["seconds"]
    click.echo(f"seed {seed}  {accuracy:.4f}  {seconds:4.0f} s  {title}", err=True)
    return accuracy


def report(plan: Plan, measured: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> str:
    """A table with paired differences per seed, the settings, and the machine."""

    def of(title: str) -> list[float]:
        return [accuracies[title] for accuracies in measured]

    scratch = [variant.title for variant in VARIANTS if not variant.pretrained]
    columns = [
        "training",
        "steps",
        "accuracy, %",
        "gain over scratch",
        f"gain over scratch × {LONGER}",
    ]
    rows = []
    for variant in VARIANTS:
        differences = [
            percent([own - other for own, other in zip(of(variant.title), of(title), strict=True)])
            for title in scratch
        ]
        cells = differences if variant.pretrained else ["", ""]
        rows.append(
            [variant.title, str(plan.steps * variant.longer), percent(of(variant.title)), *cells]
        )
    first, second = plan.halves
    facts = (
        f"`{plan.backbone}`, {plan.image_size} pixels, seeds {', '.join(map(str, seeds))}: mean ± "
        f"standard deviation, paired differences per seed. A: {', '.join(first)}, accuracy "
        f"{percent(of('A'))} %. B: {', '.join(second)}, {plan.shots} training images per class; "
        f"chance is {100 / len(second):.0f} %."
    )
    return "\n\n".join([table(columns, rows), facts, provenance("transfer")])


if __name__ == "__main__":
    main()
