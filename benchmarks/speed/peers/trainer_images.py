"""Hugging Face's Trainer on images, with a network of torchvision's."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks.speed.inputs import network
from benchmarks.speed.peers.common import WORKERS, Clock, image_loaders, options, tell
from benchmarks.speed.peers.trainer import accuracy, arguments, timed


class _WithLoss(nn.Module):
    """What the Trainer wants of a network."""

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
        raise click.UsageError("this one trains everything")
    transformers.set_seed(seed)
    sets = {split: loader.dataset for split, loader in image_loaders(data).items()}
    net = network(network_name)
    net.load_state_dict(load_file(weights))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = arguments(folder, seed, epochs, 1e-4)
        settings.dataloader_num_workers = workers
        trainer: Any = transformers.Trainer(
            model=_WithLoss(net),
            args=settings,
            train_dataset=sets["train"],
            eval_dataset=sets["val"],
            data_collator=_collate,
            compute_metrics=accuracy,
            callbacks=[timed(clock, len(sets["train"]))],
        )
        trainer.train()
    log = trainer.state.log_history
    accuracies = [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
    tell(clock, accuracies, len(sets["val"]))


if __name__ == "__main__":
    main = click.option("--network", "network_name", required=True)(main)
    options(click.option("--workers", default=WORKERS, help="That read images.")(main))()
