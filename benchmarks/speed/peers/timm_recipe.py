"""timm's training recipe, with the functions and defaults of its training script.

https://github.com/huggingface/pytorch-image-models/blob/main/train.py: SGD with Nesterov momentum
and learning rate 0.1 at batch size 256, cosine schedule, colour jitter, label smoothing; drops the last
incomplete batch. No warm-up, which would take more epochs than there are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchmarks.speed.peers.common import (
    BATCH,
    MEAN,
    STD,
    WORKERS,
    TrainingTimer,
    freeze,
    options,
    print_result,
    start_from,
)


@options
def main(data: Path, weights: Path, epochs: int, seed: int, probe: bool) -> None:
    """Train a ResNet-18 on a folder of images."""
    import timm
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import accuracy, random_seed

    random_seed(seed)
    device = torch.device("cpu")
    common = {
        "input_size": (3, 224, 224),
        "batch_size": BATCH,
        "mean": MEAN,
        "std": STD,
        "num_workers": WORKERS,
        "device": device,
    }
    training = create_dataset("", root=data, split="train", is_training=True)
    validation = create_dataset("", root=data, split="val")
    train = create_loader(training, is_training=True, **common)
    val = create_loader(validation, interpolation="bicubic", crop_pct=0.875, **common)
    net = timm.create_model("resnet18", num_classes=len(training.reader.class_to_idx))
    net = start_from(net, weights).to(device)
    if probe:
        freeze(net)
        net.get_classifier().requires_grad_(True)
    optimizer = create_optimizer_v2(
        net, opt="sgd", lr=0.1 * BATCH / 256, momentum=0.9, weight_decay=2e-5
    )
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=epochs)
    criterion = LabelSmoothingCrossEntropy(0.1)
    timer, accuracies = TrainingTimer(), []
    for epoch in range(epochs):
        timer.start()
        net.train()
        samples = 0
        for images, labels in train:
            optimizer.zero_grad()
            criterion(net(images), labels).backward()
            optimizer.step()
            samples += len(labels)
        timer.stop(samples)
        scheduler.step(epoch + 1)
        accuracies.append(_accuracy(net, val, accuracy))
    print_result(timer, accuracies, len(validation))


@torch.no_grad()
def _accuracy(net: nn.Module, loader: object, accuracy: object) -> float:
    net.eval()
    correct = seen = 0.0
    for images, labels in loader:
        correct += float(accuracy(net(images), labels)[0]) / 100 * len(labels)
        seen += len(labels)
    return correct / seen


if __name__ == "__main__":
    main()
