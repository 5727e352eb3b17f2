"""The loop of PyTorch's transfer-learning tutorial: float32, SGD with momentum, StepLR.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html. Its learning rate,
0.001 at batch size 4, is scaled with the batch size. With ``--lightning``, Lightning's Trainer takes the place of
the loop; network, transforms and optimiser are the same.
"""

from __future__ import annotations

import tempfile
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from benchmarks.speed.peers.common import (
    Settings,
    TrainingTimer,
    freeze,
    image_loaders,
    options,
    print_result,
    start_from,
)


@options
@click.option("--lightning", is_flag=True, help="Use Lightning's Trainer.")
def main(settings: Settings, lightning: bool) -> None:
    """Train a ResNet-18 on a folder of images."""
    torch.manual_seed(settings.seed)
    loaders = image_loaders(settings)
    net = _network(settings, len(loaders["train"].dataset.classes))
    rate = 0.001 * settings.batch / 4
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=7, gamma=0.1)
    timer = TrainingTimer()
    train = _with_lightning if lightning else _with_loop
    accuracies = train(net, loaders, optimizer, scheduler, settings, timer)
    count = len(loaders["val"].dataset)
    print_result(timer, accuracies, count, batch=settings.batch, lr=rate)


def _network(settings: Settings, classes: int) -> nn.Module:
    """A ResNet-18 with a new head, which alone trains with ``--probe``."""
    from torchvision import models

    net: Any = start_from(models.resnet18(num_classes=classes), settings.weights)
    if settings.probe:
        freeze(net)
    net.fc = nn.Linear(net.fc.in_features, classes)
    return net


def _with_loop(
    net: nn.Module,
    loaders: dict[str, Any],
    optimizer: Optimizer,
    scheduler: StepLR,
    settings: Settings,
    timer: TrainingTimer,
) -> list[float]:
    """Accuracy after each epoch of the tutorial's loop."""
    accuracies = []
    for _ in range(settings.epochs):
        timer.start()
        timer.stop(_train(net, loaders["train"], optimizer))
        scheduler.step()
        accuracies.append(_accuracy(net, loaders["val"]))
    return accuracies


def _train(net: nn.Module, loader: Any, optimizer: Optimizer) -> int:
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
def _accuracy(net: nn.Module, loader: Any) -> float:
    net.eval()
    correct = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in loader)
    return correct / len(loader.dataset)


def _with_lightning(
    net: nn.Module,
    loaders: dict[str, Any],
    optimizer: Optimizer,
    scheduler: StepLR,
    settings: Settings,
    timer: TrainingTimer,
) -> list[float]:
    """Accuracy after each epoch of Lightning's Trainer, with its defaults."""
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.correct = self.seen = 0
            self.accuracies: list[float] = []

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            images, labels = batch
            self.seen += len(labels)
            loss = nn.functional.cross_entropy(self.net(images), labels)
            self.log("loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            images, labels = batch
            self.correct += int((self.net(images).argmax(1) == labels).sum())

        def configure_optimizers(self) -> dict[str, Any]:
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

        def on_train_epoch_start(self) -> None:
            self.seen = 0
            timer.start()

        def on_validation_epoch_start(self) -> None:
            self.correct = 0
            timer.stop(self.seen)  # validation runs before on_train_epoch_end

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                self.accuracies.append(self.correct / len(loaders["val"].dataset))

    classifier = Classifier()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(max_epochs=settings.epochs, default_root_dir=folder)
        trainer.fit(classifier, loaders["train"], loaders["val"])
    return classifier.accuracies


if __name__ == "__main__":
    main()
