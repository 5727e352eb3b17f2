"""``zoo tune`` against the default fine-tune: accuracy on ``test``, which neither sees, by seed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

import zoo
from benchmarks.report import percent, provenance, table, update_section
from zoo.engine.progress import Console, Quiet
from zoo.tuning.tune import TuneWatch


@click.command()
@click.option("--data", default="../shared/data/clothing", help="Data with a test split.")
@click.option(
    "--backbones", default="lite/lite0", help="Comma-separated; the first is the default."
)
@click.option("--time-limit", default="10m", help="Of each search.")
@click.option("--seeds", default=3, help="Number of seeds.")
@click.option("--epochs", type=int, help="Epochs of every fine-tune (default: the recipe's).")
def main(data: str, backbones: str, time_limit: str, seeds: int, epochs: int | None) -> None:
    """Compare the best run of a search with the default fine-tune, on the test split."""
    names = backbones.split(",")
    rows, both = list[Sequence[str]](), list[tuple[float, float]]()
    for seed in range(seeds):
        options = {"seed": seed, **({"epochs": epochs} if epochs else {})}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            began = time.perf_counter()
            usual = zoo.finetune(
                names[0], data, output=folder / "usual", report=False, reporter=Quiet(), **options
            )
            spent = time.perf_counter() - began
            tested = usual.evaluate(data, split="test", reporter=Quiet())["test"]
            accuracy = tested.metrics[usual.task.metric]
            found = zoo.tune(
                data,
                backbones=names,
                time_limit=time_limit,
                output=folder / "search",
                watch=TuneWatch(Console()),
                **options,
            )
        both.append((accuracy, found.estimate.value))
        best = f"{found.best.backbone} {found.best.settings}"
        rows.append(
            [
                *(str(seed), percent([accuracy]), f"{spent:.0f}"),
                *(percent([found.estimate.value]), f"{found.seconds:.0f}"),
                *(str(len(found.trials)), best),
            ]
        )
        print(table(_COLUMNS, rows[-1:]))
    usual_mean, tuned_mean = (percent(each) for each in zip(*both, strict=True))
    rows.append(["mean", usual_mean, "", tuned_mean, "", "", ""])
    text = f"{table(_COLUMNS, rows)}\n\n{provenance('tune')}"
    print(text)
    update_section("tune", text)


_COLUMNS = ("seed", "default, %", "s", "zoo tune, %", "s", "trials", "best settings")

if __name__ == "__main__":
    main()
