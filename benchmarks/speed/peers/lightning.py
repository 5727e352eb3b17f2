"""The tutorial's network, transforms and optimiser, with Lightning's Trainer and its defaults."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.peers.common import (
    TrainingTimer,
    freeze,
    image_loaders,
    options,
    print_result,
    start_from,
)
from benchmarks.speed.peers.tutorial import RATE


@options
def main(data: Path, weights: Path, epochs: int, seed: int, probe: bool) -> None:
    """Train a ResNet-18 on a folder of images."""
    import lightning
    from torchvision import models

    loaders = image_loaders(data)

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            classes = len(loaders["train"].dataset.classes)
            self.net = start_from(models.resnet18(num_classes=classes), weights)
            if probe:
                freeze(self.net)
            self.net.fc = nn.Linear(self.net.fc.in_features, classes)
            self.correct = self.seen = 0
            self.timer, self.accuracies = TrainingTimer(), []

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
            trained = [p for p in self.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=RATE, momentum=0.9)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

        def on_train_epoch_start(self) -> None:
            self.seen = 0
            self.timer.start()

        def on_validation_epoch_start(self) -> None:
            self.correct = 0
            self.timer.stop(self.seen)  # validation runs before on_train_epoch_end

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                self.accuracies.append(self.correct / len(loaders["val"].dataset))

    lightning.seed_everything(seed)
    classifier = Classifier()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(max_epochs=epochs, default_root_dir=folder)
        trainer.fit(classifier, loaders["train"], loaders["val"])
    print_result(classifier.timer, classifier.accuracies, len(loaders["val"].dataset))


if __name__ == "__main__":
    main()
