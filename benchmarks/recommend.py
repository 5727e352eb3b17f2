"""Agreement of the ranking of ``zoo recommend`` with accuracy after fine-tuning.

Ten classes of photographs are split into two halves, A and B, as in :mod:`benchmarks.halves`. Two
networks are pretrained on A, or on two of its classes, for different numbers of epochs and registered as
by ``zoo add``; both networks with random weights are candidates too. All candidates are ranked on B's
training images, then fully fine-tuned on them with the same learning rate. Agreement is Kendall's tau-b
of each score: 1 for the same order, 0 for unrelated, -1 for reversed. The best epoch is selected on
validation images; accuracy is measured on test images, which are not used otherwise.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from scipy.stats import kendalltau

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
from zoo.ranking.results import Ranked
from zoo.registry.publishing import publish

SCORES = ("probe", "logme")


@dataclass(frozen=True)
class Pretraining:
    """How a candidate backbone is pretrained.

    Attributes:
        backbone: Name as in ``zoo list``.
        epochs: Number of epochs on A; 0 for random weights.
        classes: Number of classes of A to train on; ``None`` for all.
    """

    backbone: str
    epochs: int
    classes: int | None = None

    @property
    def name(self) -> str:
        """Registered name; the name of the backbone if it is not pretrained."""
        if not self.epochs:
            return self.backbone
        return f"pretrained-{self.backbone}-{self.epochs}" + (
            f"-of-{self.classes}" if self.classes else ""
        )

    @property
    def title(self) -> str:
        """Label in the table."""
        if not self.epochs:
            return f"{self.backbone}, random"
        duration = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return f"{self.backbone}, {duration} of {f'{self.classes} classes of ' if self.classes else ''}A"


CANDIDATES = (
    Pretraining("cnn", 0),
    Pretraining("cnn", 1),
    Pretraining("cnn", 6),
    Pretraining("cnn", 30),
    Pretraining("cnn", 20, classes=2),
    Pretraining("resnet10t", 0),
    Pretraining("resnet10t", 2),
    Pretraining("resnet10t", 12),
)


@click.command()
@photographs
@click.option(
    "--seeds",
    default="0,1",
    show_default=True,
    help="Comma-separated seeds; one fine-tuning run each.",
)
@click.option("--shots", default=60, show_default=True, help="Training images per class of B.")
@click.option(
    "--epochs", default=15, show_default=True, help="Number of epochs of fine-tuning on B."
)
@click.option("--image-size", default=32, show_default=True, help="Height and width in pixels.")
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(source: Path, seeds: str, shots: int, epochs: int, image_size: int, write: bool) -> None:
    """Compare the ranking of zoo recommend with accuracy after fine-tuning."""
    torch.set_num_threads(1)  # a second thread does not speed up such small networks
    all_seeds, began = [int(seed) for seed in seeds.split(",")], time.monotonic()
    with own_registry() as work:
        plan = Plan(
            backbone="",
            source=source,
            work=work,
            shots=shots,
            first_epochs=0,
            epochs=epochs,
            batch_size=32,
            image_size=image_size,
        )
        shrink(plan)
        a, b = lay_out(plan, 0)
        for candidate in CANDIDATES:
            pretrain(plan, candidate, a)
        rows = ranked(b)
        accuracies = {
            candidate.title: [tune(plan, candidate, b, seed) for seed in all_seeds]
            for candidate in CANDIDATES
        }
    text = report(plan, rows, accuracies, all_seeds, time.monotonic() - began)
    print(text)
    if write:
        update_readme("recommend", text)


def pretrain(plan: Plan, candidate: Pretraining, a: Path) -> None:
    """Train on A and register the result."""
    if not candidate.epochs:
        return
    data = a
    if candidate.classes:
        data = a.with_name(candidate.name)
        for name in plan.halves[0][: candidate.classes]:
            for split in ("train", "val"):
                shutil.copytree(a / split / name, data / split / name)
    run = zoo.finetune(
        candidate.backbone,
        data,
        weights="none",
        epochs=candidate.epochs,
        output=plan.work / "runs" / candidate.name,
        **quietly(plan, seed=0),
    )
    publish(candidate.name, run.folder, registry=zoo.Registry.discover())
    click.echo(f"{run.metrics['accuracy']:.4f} on A  {candidate.title}", err=True)


def ranked(b: Path) -> dict[str, Ranked]:
    """Ranking results of all candidates, by title."""
    names = {candidate.name: candidate.title for candidate in CANDIDATES}
    ranking = zoo.recommend(b, list(names), weights="none", time_limit=None, workers=0)
    assert not ranking.left_out, ranking.left_out
    return {names[row.name]: row for row in ranking.ranked}


def tune(plan: Plan, candidate: Pretraining, b: Path, seed: int) -> float:
    """Accuracy on B's test images after full fine-tuning."""
    run = zoo.finetune(
        candidate.name,
        b,
        weights="auto" if candidate.epochs else "none",
        epochs=plan.epochs,
        output=plan.work / "runs" / f"{candidate.name}-b-{seed}",
        **SAME,
        **quietly(plan, seed),
    )
    accuracy = test_accuracy(run, b)
    click.echo(f"{accuracy:.4f} on B, seed {seed}  {candidate.title}", err=True)
    return accuracy


def report(
    plan: Plan,
    rows: Mapping[str, Ranked],
    accuracies: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
    seconds: float,
) -> str:
    """Both tables, the settings, and the machine."""
    means = {title: statistics.mean(values) for title, values in accuracies.items()}
    order = sorted(means, key=lambda title: -means[title])
    cells = [
        [
            title,
            percent(accuracies[title]),
            *(f"{getattr(rows[title], score):.4f}" for score in SCORES),
        ]
        for title in order
    ]
    taus = [[score, f"{tau(rows, means, score):.2f}"] for score in SCORES]
    classes = len(plan.halves[1])
    facts = (
        f"{len(rows)} backbones at {plan.image_size} pixels; B: {', '.join(plan.halves[1])}, "
        f"{plan.shots} training images per class, ranked on all of them (random initialisation at "
        "zoo's default size); accuracy on "
        f"test images after {plan.epochs} epochs of `full` at one learning rate, mean ± standard deviation over "
        f"seeds {', '.join(map(str, seeds))}; chance is {100 / classes:.0f} %. {seconds / 60:.0f} minutes."
    )
    return "\n\n".join(
        [
            table(["backbone", "fine-tuned, %", *SCORES], cells),
            table(["score", "Kendall's tau"], taus),
            facts,
            provenance("recommend"),
        ]
    )


def tau(rows: Mapping[str, Ranked], means: Mapping[str, float], score: str) -> float:
    """Kendall's tau-b of a score and accuracy."""
    return float(kendalltau([getattr(rows[t], score) for t in means], list(means.values()))[0])


if __name__ == "__main__":
    main()
