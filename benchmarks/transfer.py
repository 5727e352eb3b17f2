"""Transfer from ImageNet to A to B, compared with going from ImageNet to B at once.

Ten classes of photographs are split into two halves, A and B, alternating in alphabetical order.
EfficientNet-Lite0 with its ImageNet weights is fine-tuned on all of A, registered as by ``zoo add``, and
fine-tuned on some images per class of B. Baselines: the same network from ImageNet's weights, and from
scratch, on the same images of B. The best epoch is selected on validation images; accuracy is measured
on test images, which are not used otherwise.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

import zoo
from benchmarks.equal_starts.data import start
from benchmarks.equal_starts.job import NETWORK
from benchmarks.halves import (
    Plan,
    lay_out,
    own_registry,
    photographs,
    quietly,
    shrink,
    test_accuracy,
)
from benchmarks.report import percent, provenance, table, update_readme
from zoo.registry.publishing import publish

A, IMAGENET, SCRATCH = "A", "ImageNet", "scratch"


@dataclass(frozen=True, kw_only=True)
class TrainingVariant:
    """A way to train on B.

    Attributes:
        start: What it starts from: the run on A, the published weights, or random ones.
        strategy: Of :func:`zoo.finetune`.
    """

    start: str
    strategy: str

    @property
    def title(self) -> str:
        """Label in the table."""
        return f"from {self.start}: {self.strategy}"


VARIANTS = (
    TrainingVariant(start=A, strategy="probe"),
    TrainingVariant(start=A, strategy="two-stage"),
    TrainingVariant(start=IMAGENET, strategy="probe"),
    TrainingVariant(start=IMAGENET, strategy="two-stage"),
    TrainingVariant(start=SCRATCH, strategy="full"),
)


@click.command()
@photographs
@click.option(
    "--seeds",
    default="0,1,2",
    show_default=True,
    help="Comma-separated seeds; one set of runs each.",
)
@click.option("--shots", default=10, show_default=True, help="Training images per class of B.")
@click.option("--first-epochs", default=5, show_default=True, help="Number of epochs on A.")
@click.option("--epochs", default=5, show_default=True, help="Number of epochs on B.")
@click.option("--batch-size", default=10, show_default=True, help="Batch size on B.")
@click.option("--image-size", default=128, show_default=True, help="Height and width in pixels.")
@click.option("--jobs", default=2, show_default=True, help="Number of seeds to run in parallel.")
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(seeds: str, jobs: int, write: bool, **options: Any) -> None:
    """Compare fine-tuning from another task's run with fine-tuning from ImageNet's weights."""
    all_seeds = [int(seed) for seed in seeds.split(",")]
    with own_registry() as work:
        plan = Plan(work=work, backbone=f"timm/{NETWORK}", **options)
        weights = start("images", work)
        shrink(plan)
        # One thread per process: parallel seeds gain more.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
            starts = [weights] * len(all_seeds)
            measured = list(pool.map(measure, [plan] * len(all_seeds), starts, all_seeds))
    text = report(plan, measured, all_seeds)
    print(text)
    if write:
        update_readme("transfer lite0", text)


def measure(plan: Plan, weights: Path, seed: int) -> dict[str, float]:
    """Accuracy on test images: of the run on A (key ``A``), and of each variant on B, by title."""
    a, b = lay_out(plan, seed)
    runs = a.parent / "runs"
    common = quietly(plan, seed)
    first = zoo.finetune(
        plan.backbone,
        a,
        weights=str(weights),
        epochs=plan.first_epochs,
        output=runs / "a",
        **common,
    )
    name = f"pretrained-on-a-{seed}"
    publish(name, first.folder, registry=zoo.Registry.discover())
    sources = {
        A: (name, "auto"),
        IMAGENET: (plan.backbone, str(weights)),
        SCRATCH: (plan.backbone, "none"),
    }
    accuracies = {A: _accuracy(first, a, seed, A)}
    for number, variant in enumerate(VARIANTS):
        backbone, found = sources[variant.start]
        run = zoo.finetune(
            backbone,
            b,
            weights=found,
            strategy=variant.strategy,
            output=runs / f"b-{number}",
            **common,
            **({} if variant.strategy == "probe" else _steps(plan)),
        )
        accuracies[variant.title] = _accuracy(run, b, seed, variant.title)
    return accuracies


def _steps(plan: Plan) -> dict[str, Any]:
    return {"epochs": plan.epochs, "batch_size": plan.batch_size}


def _accuracy(run: zoo.Run, data: Path, seed: int, title: str) -> float:
    accuracy = test_accuracy(run, data)
    seconds = run.record["results"]["seconds"]
    click.echo(f"seed {seed}  {accuracy:.4f}  {seconds:4.0f} s  {title}", err=True)
    return accuracy


def report(plan: Plan, measured: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> str:
    """A table with paired differences per seed, the settings, and the machine."""
    columns = ["training on B", "accuracy, %", "gain over the same from ImageNet"]
    rows = []
    for variant in VARIANTS:
        own = [accuracies[variant.title] for accuracies in measured]
        other = TrainingVariant(start=IMAGENET, strategy=variant.strategy).title
        gain = ""
        if variant.start == A:
            pairs = zip(own, [accuracies[other] for accuracies in measured], strict=True)
            gain = percent([mine - others for mine, others in pairs])
        rows.append([variant.title, percent(own), gain])
    first, second = plan.halves
    facts = (
        f"EfficientNet-Lite0, {plan.image_size} pixels, seeds {', '.join(map(str, seeds))}: mean ± "
        f"standard deviation, paired differences per seed. A: {', '.join(first)}, "
        f"{plan.first_epochs} epochs, accuracy {percent([found[A] for found in measured])} %. B: "
        f"{', '.join(second)}, {plan.shots} training images per class, {plan.epochs} epochs of "
        f"batches of {plan.batch_size}; chance is {100 / len(second):.0f} %."
    )
    return "\n\n".join([table(columns, rows), facts, provenance("transfer")])


if __name__ == "__main__":
    main()
