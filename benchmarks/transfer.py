"""Transfer learning from A to B, compared with training from scratch.

Ten classes of photographs are split into two halves, A and B, alternating in alphabetical order. A
network is trained on all of A, registered as by ``zoo add``, and fine-tuned on ten images per class of B.
Baselines: the same network trained from scratch on the same images of B, with the same number of steps
and with four times as many. The best epoch is selected on validation images; accuracy is measured on
test images, which are not used otherwise.
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
from benchmarks.halves import (
    SAME,
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
    with own_registry() as work:
        plan = Plan(work=work, **options)
        shrink(plan)
        # One thread per process: small networks do not gain from more, parallel seeds do.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
            measured = list(pool.map(measure, [plan] * len(all_seeds), all_seeds))
    text = report(plan, measured, all_seeds)
    print(text)
    if write:
        update_readme(f"transfer {plan.backbone}", text)


def measure(plan: Plan, seed: int) -> dict[str, float]:
    """Accuracy on test images: of the run on A (key ``A``), and of each variant on B, by title."""
    a, b = lay_out(plan, seed)
    runs = a.parent / "runs"
    common = quietly(plan, seed)
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
    accuracy = test_accuracy(run, data)
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
