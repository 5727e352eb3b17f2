"""Hugging Face's Trainer on images, with a torchvision network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks.speed.inputs import network
from benchmarks.speed.peers.common import (
    WORKERS,
    TrainingTimer,
    image_loaders,
    options,
    print_result,
)
from benchmarks.speed.peers.trainer import accuracy, arguments, timed


class _WithLoss(nn.Module):
    """Returns loss and logits, as the Trainer requires."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _collate(samples: Sequence[tuple[Tensor, int]]) -> dict[str, Tensor]:
    images, labels = zip(*samples, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}


def main(
    data: Path, weights: Path, epochs: int, seed: int, probe: bool, network_name: str, workers: int
) -> None:
    """Train ``network_name`` on a folder of images."""
    import transformers
    from safetensors.torch import load_file

    if probe:
        raise click.UsageError("--probe is not supported for images")
    transformers.set_seed(seed)
    datasets = {split: loader.dataset for split, loader in image_loaders(data).items()}
    net = network(network_name)
    net.load_state_dict(load_file(weights))
    timer = TrainingTimer()
    with tempfile.TemporaryDirectory() as folder:
        training_arguments = arguments(folder, seed, epochs, 1e-4)
        training_arguments.dataloader_num_workers = workers
        trainer: Any = transformers.Trainer(
            model=_WithLoss(net),
            args=training_arguments,
            train_dataset=datasets["train"],
            eval_dataset=datasets["val"],
            data_collator=_collate,
            compute_metrics=accuracy,
            callbacks=[timed(timer, len(datasets["train"]))],
        )
        trainer.train()
    log = trainer.state.log_history
    accuracies = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    print_result(timer, accuracies, len(datasets["val"]))


if __name__ == "__main__":
    main = click.option("--network", "network_name", required=True)(main)
    options(
        click.option("--workers", default=WORKERS, help="Number of data-loading processes.")(main)
    )()
