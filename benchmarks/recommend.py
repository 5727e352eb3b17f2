"""Does ``zoo recommend`` put backbones into the order in which fine-tuning does?

Ten classes of photographs are dealt into two halves, A and B, as in :mod:`benchmarks.transfer`. Two
networks learn A, or only two of its classes, for a long or a short time; each of these gets a name by
``zoo add``, and there is each network with random parameters. All of them are ranked on B's training
images, and then fine-tuned on these in full, all at the same learning rates. How far the two orders
agree says Kendall's tau-b, of each score by itself: 1 for the same order, 0 for none in common, -1 for
the reverse. The validation images choose each fine-tune's epoch, and the test images, which nothing
else has seen, measure it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from scipy.stats import kendalltau

import zoo
from benchmarks.report import circumstances, percent, put, table
from benchmarks.transfer import SAME, Plan, lay_out, photographs, shrink
from zoo.engine.progress import Quiet
from zoo.ranking.results import Ranked
from zoo.registry.publishing import publish

SCORES = ("probe", "logme")


@dataclass(frozen=True)
class Learner:
    """A backbone of the comparison.

    Attributes:
        backbone: As in ``zoo list``.
        epochs: Passes over A; 0 leaves the parameters random.
        classes: How many classes of A it sees; ``None`` for all.
    """

    backbone: str
    epochs: int
    classes: int | None = None

    @property
    def name(self) -> str:
        """Under which it is published; that of the backbone where there is nothing to publish."""
        if not self.epochs:
            return self.backbone
        return f"learned-{self.backbone}-{self.epochs}" + (
            f"-of-{self.classes}" if self.classes else ""
        )

    @property
    def title(self) -> str:
        """In the table."""
        if not self.epochs:
            return f"{self.backbone}, random"
        passes = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return (
            f"{self.backbone}, {passes} of {f'{self.classes} classes of ' if self.classes else ''}A"
        )


LEARNERS = (
    Learner("cnn", 0),
    Learner("cnn", 1),
    Learner("cnn", 6),
    Learner("cnn", 30),
    Learner("cnn", 20, classes=2),
    Learner("resnet10t", 0),
    Learner("resnet10t", 2),
    Learner("resnet10t", 12),
)


@click.command()
@photographs
@click.option("--seeds", default="0,1", show_default=True, help="Of the fine-tunes; one for each.")
@click.option("--shots", default=60, show_default=True, help="Training images a class of B.")
@click.option("--epochs", default=15, show_default=True, help="Passes of a fine-tune over them.")
@click.option("--image-size", default=32, show_default=True, help="Height and width in pixels.")
@click.option("--write/--no-write", default=True, help="Whether the table goes into README.md.")
def main(source: Path, seeds: str, shots: int, epochs: int, image_size: int, write: bool) -> None:
    """Measure how far a ranking agrees with what fine-tuning comes to."""
    torch.set_num_threads(1)  # networks this small gain nothing from a second
    numbers, began = [int(seed) for seed in seeds.split(",")], time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        # What is made here is for the user's registry.toml and caches no more than for his runs.
        os.environ["XDG_CONFIG_HOME"] = os.path.join(work, "config")
        os.environ["ZOO_CACHE"] = os.path.join(work, "cache")
        plan = Plan(
            backbone="",
            source=source,
            work=Path(work),
            shots=shots,
            first_epochs=0,
            epochs=epochs,
            batch_size=32,
            image_size=image_size,
        )
        shrink(plan)
        a, b = lay_out(plan, 0)
        for learner in LEARNERS:
            learn(plan, learner, a)
        rows = ranked(b)
        accuracies = {one.title: [tune(plan, one, b, seed) for seed in numbers] for one in LEARNERS}
    text = report(plan, rows, accuracies, numbers, time.monotonic() - began)
    print(text)
    if write:
        put("recommend", text)


def learn(plan: Plan, learner: Learner, a: Path) -> None:
    """Train on A, and publish what came of it."""
    if not learner.epochs:
        return
    data = a
    if learner.classes:
        data = a.with_name(learner.name)
        for name in plan.halves[0][: learner.classes]:
            for split in ("train", "val"):
                shutil.copytree(a / split / name, data / split / name)
    run = zoo.finetune(
        learner.backbone,
        data,
        weights="none",
        epochs=learner.epochs,
        output=plan.work / "runs" / learner.name,
        **_common(plan, seed=0),
    )
    publish(learner.name, run.folder, registry=zoo.Registry.discover())
    click.echo(f"{run.metrics['accuracy']:.4f} on A  {learner.title}", err=True)


def ranked(b: Path) -> dict[str, Ranked]:
    """The rows of a ranking of all, by title."""
    names = {one.name: one.title for one in LEARNERS}
    ranking = zoo.recommend(b, list(names), weights="none", time_limit=None, workers=0)
    assert not ranking.left_out, ranking.left_out
    return {names[row.name]: row for row in ranking.ranked}


def tune(plan: Plan, learner: Learner, b: Path, seed: int) -> float:
    """Accuracy on B's test images after a full fine-tune."""
    run = zoo.finetune(
        learner.name,
        b,
        weights="auto" if learner.epochs else "none",
        epochs=plan.epochs,
        output=plan.work / "runs" / f"{learner.name}-b-{seed}",
        **SAME,
        **_common(plan, seed),
    )
    accuracy = run.evaluate(b, split="test", workers=0)["test"].metrics["accuracy"]
    click.echo(f"{accuracy:.4f} on B, seed {seed}  {learner.title}", err=True)
    return float(accuracy)


def _common(plan: Plan, seed: int) -> dict[str, Any]:
    return {"image_size": plan.image_size, "seed": seed, "workers": 0, "reporter": Quiet()}


def report(
    plan: Plan,
    rows: Mapping[str, Ranked],
    accuracies: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
    seconds: float,
) -> str:
    """Both tables, and what they were measured on."""
    means = {title: statistics.mean(shares) for title, shares in accuracies.items()}
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
    sizes = len(plan.halves[1])
    facts = (
        f"{len(rows)} backbones at {plan.image_size} pixels; B: {', '.join(plan.halves[1])}, "
        f"{plan.shots} training images per class, ranked on all of them (random initialisation at "
        "zoo's default size); accuracy on "
        f"test images after {plan.epochs} epochs of `full` at one learning rate, mean ± standard deviation over "
        f"seeds {', '.join(map(str, seeds))}; chance is {100 / sizes:.0f} %. {seconds / 60:.0f} minutes."
    )
    return "\n\n".join(
        [
            table(["backbone", "fine-tuned, %", *SCORES], cells),
            table(["score", "Kendall's tau"], taus),
            facts,
            circumstances("recommend"),
        ]
    )


def tau(rows: Mapping[str, Ranked], means: Mapping[str, float], score: str) -> float:
    """Kendall's tau-b between a score and the accuracy."""
    return float(kendalltau([getattr(rows[t], score) for t in means], list(means.values()))[0])


if __name__ == "__main__":
    main()
