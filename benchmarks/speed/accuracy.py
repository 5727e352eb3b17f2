"""Accuracy of a short training over several seeds, by zoo or the Trainer, in one process."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.speed.peers.common import Settings, TrainingTimer, options


@options
@click.option("--library", type=click.Choice(["zoo", "trainer"]), required=True)
@click.option("--seeds", default=3, help="Number of seeds.")
def main(settings: Settings, library: str, seeds: int) -> None:
    """Train an image network once per seed; print the accuracy of each best epoch."""
    measure = _zoo if library == "zoo" else _trainer
    accuracies = [measure(replace(settings, seed=seed)) for seed in range(seeds)]
    print(json.dumps({"accuracies": accuracies}))


def _zoo(settings: Settings) -> float:
    import zoo
    from zoo.engine.progress import Quiet

    with tempfile.TemporaryDirectory() as folder:
        run = zoo.finetune(
            f"torchvision/{settings.network}",
            settings.data,
            weights=str(settings.weights),
            strategy="full",
            epochs=settings.epochs,
            seed=settings.seed,
            image_size=settings.size,
            output=Path(folder) / "run",
            report=False,
            reporter=Quiet(),
        )
        return float(run.metrics["accuracy"])


def _trainer(settings: Settings) -> float:
    from benchmarks.speed.peers.trainer_images import train

    accuracies, _ = train(settings, TrainingTimer())
    return max(accuracies)


if __name__ == "__main__":
    main()
