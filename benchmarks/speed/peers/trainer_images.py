"""Hugging Face's Trainer on images, with a torchvision network; learning rates as for texts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from benchmarks.speed.inputs import network
from benchmarks.speed.peers.common import (
    Settings,
    TrainingTimer,
    freeze,
    image_loaders,
    options,
    print_result,
    start_from,
)
from benchmarks.speed.peers.trainer import accuracies, accuracy, arguments, learning_rate, timed


class WithLoss(nn.Module):
    """Returns loss and logits, as the Trainer requires."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def collate(samples: Sequence[tuple[Tensor, int]]) -> dict[str, Tensor]:
    images, labels = zip(*samples, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}


def main(settings: Settings, share: float) -> None:
    """Train a network on a folder of images."""
    timer, rate = TrainingTimer(), learning_rate(settings)
    found, count = train(settings, timer, share)
    print_result(timer, found, count, batch=settings.batch, lr=rate)


def train(settings: Settings, timer: TrainingTimer, share: float = 1) -> tuple[list[float], int]:
    """Accuracy after each epoch, and the number of validation samples.

    Args:
        settings: Data, network and training.
        timer: Times the epochs.
        share: Share of the training samples to train on.
    """
    import transformers

    transformers.set_seed(settings.seed)
    datasets = {split: loader.dataset for split, loader in image_loaders(settings).items()}
    net = prepared(settings, len(datasets["train"].classes))
    order = torch.randperm(len(datasets["train"])).tolist()
    training = Subset(datasets["train"], order[: max(1, round(len(order) * share))])
    with tempfile.TemporaryDirectory() as folder:
        training_arguments = arguments(folder, settings, learning_rate(settings))
        training_arguments.dataloader_num_workers = settings.workers
        trainer: Any = transformers.Trainer(
            model=WithLoss(net),
            args=training_arguments,
            train_dataset=training,
            eval_dataset=datasets["val"],
            data_collator=collate,
            compute_metrics=accuracy,
            callbacks=[timed(timer, len(training))],
        )
        trainer.train()
    return accuracies(trainer), len(datasets["val"])


def prepared(settings: Settings, classes: int) -> nn.Module:
    """The network with the initial weights and a new head, which alone trains with ``--probe``."""
    net = start_from(network(settings.network, settings.size, classes), settings.weights)
    if settings.probe:
        freeze(net)
        for name, parameter in net.named_parameters():
            parameter.requires_grad = name.startswith(("fc.", "heads."))
    return net


if __name__ == "__main__":
    options(
        click.option("--share", default=1.0, help="Share of the training samples to train on.")(
            main
        )
    )()
