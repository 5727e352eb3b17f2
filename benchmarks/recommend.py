"""Agreement of the order of ``zoo recommend`` with accuracy after fine-tuning.

Images: ten classes of photographs are split into two halves, A and B, as in :mod:`benchmarks.halves`.
Starts are EfficientNet-Lite0 to 2 with ImageNet's weights, and networks with random parameters or
pretrained on A or two of its classes. Texts: SST-2, from all-MiniLM-L6-v2 cut after some of its
layers, and networks with random parameters. Each is scored by ``zoo recommend`` on the training
samples, then fully fine-tuned on them with the same learning rate. The epoch is selected on
validation samples; accuracy is measured on test samples, which are not used otherwise.

Agreement is Kendall's tau-b, which counts ties: 1 for the same order, 0 for unrelated, -1 for reversed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

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
from benchmarks.report import (
    Result,
    measure_once,
    percent,
    provenance,
    read_results,
    table,
    update_readme,
)
from benchmarks.starts import IMAGES, TEXTS, StartPoint
from zoo.ranking.results import Ranked

RESULTS = Path(__file__).with_name("recommend.jsonl")
SCORES = ("probe", "logme")
TEXTS_HELD_OUT = {"val": 100, "test": 300}
"""Texts per class."""


@dataclass(frozen=True)
class Study:
    """Starts for one dataset.

    Attributes:
        title: ``images`` or ``texts``.
        starts: What is ranked.
        epochs: Of fine-tuning.
        lr: Learning rate of all of them.
        data: What the data is.
    """

    title: str
    starts: Sequence[StartPoint]
    epochs: int
    lr: float
    data: str


@click.command()
@photographs
@click.option(
    "--texts",
    default="../shared/data/sst2",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with train.tsv, dev.tsv and test.tsv.",
)
@click.option("--seeds", default="0,1", show_default=True, help="Fine-tuning runs per network.")
@click.option("--shots", default=60, show_default=True, help="Training samples per class.")
@click.option("--epochs", default=15, show_default=True, help="Of fine-tuning on images.")
@click.option("--text-epochs", default=3, show_default=True, help="Of fine-tuning on texts.")
@click.option("--image-size", default=64, show_default=True, help="Height and width in pixels.")
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path), help="Saved results.")
@click.option("--write/--no-write", default=True, help="Whether to update README.md.")
def main(
    source: Path,
    texts: Path,
    seeds: str,
    shots: int,
    epochs: int,
    text_epochs: int,
    image_size: int,
    results: Path,
    write: bool,
) -> None:
    """Compare the order of zoo recommend with accuracy after fine-tuning.

    Results are saved for each network, and not measured again.
    """
    torch.set_num_threads(1)  # a second thread does not speed up such small networks
    all_seeds = [int(seed) for seed in seeds.split(",")]
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
        about = f"B: {', '.join(plan.halves[1])}, at {image_size} pixels"
        studies = {
            Study("images", IMAGES, epochs, float(SAME["lr"]), about): b,
            Study("texts", TEXTS, text_epochs, 1e-4, "SST-2"): sampled_texts(texts, work, shots),
        }
        parts = []
        for study, data in studies.items():
            rows = measured(study, plan, a, data, all_seeds, results)
            parts.append(report(study, rows, shots, all_seeds))
    text = "\n\n".join([*parts, provenance("recommend")])
    print(text)
    if write:
        update_readme("recommend", text)


def sampled_texts(source: Path, work: Path, shots: int) -> Path:
    """The folder of a small part of SST-2."""
    import pandas as pd

    folder = work / "texts"
    folder.mkdir()
    for name, file, count in (
        ("train", "train", shots),
        *((split, "dev" if split == "val" else split, n) for split, n in TEXTS_HELD_OUT.items()),
    ):
        rows = pd.read_csv(source / f"{file}.tsv", sep="\t", quoting=3)
        part = rows.groupby(rows.columns[-1]).sample(count, random_state=0)
        part.to_csv(folder / f"{name}.csv", index=False)
    return folder


def measured(
    study: Study, plan: Plan, a: Path, data: Path, seeds: Sequence[int], results: Path
) -> list[Result]:
    """The saved rows of the starts of a study; those that are missing are measured."""
    settings = {
        "study": study.title,
        "shots": plan.shots,
        "epochs": study.epochs,
        "lr": study.lr,
        "image_size": plan.image_size,
        "seeds": list(seeds),
    }
    for start in study.starts:
        key = {**settings, "start": start.title}
        measure_once(results, key, partial(one, study, plan, start, a, data, seeds))
    titles = [start.title for start in study.starts]
    found = {
        row["start"]: row
        for row in read_results(results)
        if all(row.get(name) == value for name, value in settings.items())
    }
    return [found[title] for title in titles]


def one(
    study: Study, plan: Plan, start: StartPoint, a: Path, data: Path, seeds: Sequence[int]
) -> dict[str, Any]:
    """The scores of a start, and its accuracies after fine-tuning."""
    began = time.process_time()
    backbone, weights = start.made(plan, a)
    ranking = zoo.recommend(data, [backbone], weights="none", time_limit=None, workers=0)
    assert not ranking.left_out, ranking.left_out
    accuracies = [tuned(study, plan, backbone, weights, data, seed) for seed in seeds]
    return {
        **{score: getattr(ranking.best, score) for score in SCORES},
        "draws": [round(draw, 6) for draw in ranking.best.draws],
        "accuracies": accuracies,
        "seconds": round(time.process_time() - began, 1),
    }


def tuned(
    study: Study, plan: Plan, backbone: Any, weights: str, data: Path, seed: int
) -> float:  # fmt: skip
    """Accuracy on test samples after full fine-tuning."""
    options: dict[str, Any] = {**SAME, **quietly(plan, seed), "lr": study.lr}
    if study.title == "texts":
        del options["image_size"]
    folder = plan.work / "runs" / f"{study.title}-{len(list(plan.work.glob('runs/*')))}"
    run = zoo.finetune(
        backbone,
        data,
        weights=weights,
        epochs=study.epochs,
        output=folder,
        report=False,
        **options,
    )
    return test_accuracy(run, data)


def report(study: Study, rows: Sequence[Result], shots: int, seeds: Sequence[int]) -> str:
    """Both tables of a study, and the settings."""
    ordered = sorted(rows, key=lambda row: -statistics.mean(row["accuracies"]))
    cells = [
        [
            row["start"],
            percent(row["accuracies"]),
            "{:.4f} ({:.4f} to {:.4f})".format(row["probe"], *interval_of(row)),
            f"{row['logme']:.4f}",
        ]
        for row in ordered
    ]
    called = pairs_called_different(rows)
    taus = [[score, f"{tau(rows, score):.2f}"] for score in SCORES]
    taus.append(["probe, its ties counted as ties", f"{tau_with_ties(rows):.2f}"])
    wrong, pairs = called.contradicted, math.comb(len(rows), 2)
    minutes = sum(row["seconds"] for row in rows) / 60
    facts = (
        f"{len(rows)} networks; {study.data}; {shots} training samples per class, ranked on all of "
        f"them; accuracy on test after {study.epochs} epochs of `full` at learning rate "
        f"{study.lr:g}, mean ± standard deviation over seeds {', '.join(map(str, seeds))}. "
        f"{minutes:.0f} minutes of one core. Of {pairs} pairs, the probe calls "
        f"{called.count} different at 95 %; accuracy after fine-tuning contradicts {wrong} of these"
        f" and is equal in {called.equal}."
    )
    head = ["network", "fine-tuned, %", "probe (95 %)", "logme"]
    return "\n\n".join(
        [
            f"**{study.title.capitalize()}**",
            table(head, cells),
            table(["score", "Kendall's tau-b"], taus),
            facts,
        ]
    )


@dataclass(frozen=True)
class Called:
    """Pairs whose probes differ significantly.

    Attributes:
        count: How many.
        contradicted: How many of them accuracy orders the other way.
        equal: How many of them are equally accurate.
    """

    count: int
    contradicted: int
    equal: int


def _accuracy(row: Result) -> float:
    return float(statistics.mean(row["accuracies"]))


def _ranked(row: Result) -> Ranked:
    """The row as ``zoo recommend`` has it."""
    return Ranked(
        name=row["start"],
        backbone=row["start"],
        weights="",
        probe=row["probe"],
        logme=row["logme"],
        params=0,
        feature_dim=0,
        seconds=None,
        license="",
        draws=tuple(row["draws"]),
    )


def interval_of(row: Result) -> tuple[float, float]:
    """The 95 % interval of the probe."""
    return _ranked(row).interval or (math.nan, math.nan)


def _signs(rows: Sequence[Result]) -> list[tuple[int, int]]:
    """For each pair, the sign of the probe's difference, 0 for a tie, and that of accuracy."""
    found = []
    for one, other in combinations(sorted(rows, key=lambda row: -row["probe"]), 2):
        tied = _ranked(other).ties_with(_ranked(one))
        gain = _accuracy(one) - _accuracy(other)
        found.append((0 if tied else 1, (gain > 0) - (gain < 0)))
    return found


def pairs_called_different(rows: Sequence[Result]) -> Called:
    """How many pairs the probe calls different, and how they came out."""
    called = [accuracy for probe, accuracy in _signs(rows) if probe]
    return Called(len(called), called.count(-1), called.count(0))


def tau_with_ties(rows: Sequence[Result]) -> float:
    """Kendall's tau-b if pairs that do not differ significantly are ties."""
    signs = _signs(rows)
    scale = math.sqrt(sum(probe != 0 for probe, _ in signs) * sum(truth != 0 for _, truth in signs))
    return sum(probe * truth for probe, truth in signs) / scale if scale else math.nan


def tau(rows: Sequence[Mapping[str, Any]], score: str) -> float:
    """Kendall's tau-b of a score and accuracy."""
    return float(kendalltau([row[score] for row in rows], [_accuracy(row) for row in rows])[0])


if __name__ == "__main__":
    main()
