"""The loop of PyTorch's transfer-learning tutorial: float32, SGD with momentum, StepLR.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html. Its learning rate,
0.001 at batch size 4, is scaled with the batch size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from benchmarks.speed.peers.common import (
    BATCH,
    TrainingTimer,
    freeze,
    image_loaders,
    options,
    print_result,
    start_from,
)

RATE = 0.001 * BATCH / 4


@options
def main(data: Path, weights: Path, epochs: int, seed: int, probe: bool) -> None:
    """Train a ResNet-18 on a folder of images."""
    torch.manual_seed(seed)
    loaders = image_loaders(data)
    from torchvision import models

    net = start_from(models.resnet18(num_classes=len(loaders["train"].dataset.classes)), weights)
    if probe:
        freeze(net)
    net.fc = nn.Linear(net.fc.in_features, net.fc.out_features)
    optimizer = torch.optim.SGD((net.fc if probe else net).parameters(), lr=RATE, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=7, gamma=0.1)
    timer, accuracies = TrainingTimer(), []
    for _ in range(epochs):
        timer.start()
        timer.stop(_train(net, loaders["train"], optimizer))
        scheduler.step()
        accuracies.append(_accuracy(net, loaders["val"]))
    print_result(timer, accuracies, len(loaders["val"].dataset))


def _train(net: nn.Module, loader: object, optimizer: torch.optim.Optimizer) -> int:
    """Train for one epoch; return its number of samples."""
    net.train()
    criterion, samples, running = nn.CrossEntropyLoss(), 0, 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(labels)
        samples += len(labels)
    print(f"train loss {running / samples:.4f}", flush=True)
    return samples


@torch.no_grad()
def _accuracy(net: nn.Module, loader: object) -> float:
    net.eval()
    correct = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in loader)
    return correct / len(loader.dataset)


if __name__ == "__main__":
    main()
