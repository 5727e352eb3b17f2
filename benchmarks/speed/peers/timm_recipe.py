"""timm's training recipe, with the functions and defaults of its training script.

https://github.com/huggingface/pytorch-image-models/blob/main/train.py: SGD with Nesterov momentum
and learning rate 0.1 at batch size 256, cosine schedule, colour jitter, label smoothing; drops the last
incomplete batch. No warm-up, which would take more epochs than there are. On a GPU as with its options
``--amp --amp-dtype bfloat16 --channels-last``. A ViT starts from random weights, as its parameters have other names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.speed.peers.common import (
    MEAN,
    STD,
    Settings,
    TrainingTimer,
    device,
    freeze,
    options,
    print_result,
    start_from,
)

NETWORKS = {"vit_b_16": "vit_base_patch16_224"}
"""timm's names, where they differ from torchvision's."""


@options
def main(settings: Settings) -> None:
    """Train an image network on a folder of images."""
    import timm
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import accuracy, random_seed

    random_seed(settings.seed)
    size = settings.size
    common = {
        "input_size": (3, size, size),
        "batch_size": settings.batch,
        "mean": MEAN,
        "std": STD,
        "num_workers": settings.workers,
        "device": device(),
    }
    training = create_dataset("", root=settings.data, split="train", is_training=True)
    validation = create_dataset("", root=settings.data, split="val")
    train = create_loader(training, is_training=True, **common)
    val = create_loader(validation, interpolation="bicubic", crop_pct=0.875, **common)
    net = _network(timm, settings, len(training.reader.class_to_idx))
    rate = 0.1 * settings.batch / 256
    optimizer = create_optimizer_v2(net, opt="sgd", lr=rate, momentum=0.9, weight_decay=2e-5)
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=settings.epochs)
    criterion = LabelSmoothingCrossEntropy(0.1)
    timer, accuracies = TrainingTimer(), []
    for epoch in range(settings.epochs):
        timer.start()
        net.train()
        samples = 0
        for images, labels in train:
            optimizer.zero_grad()
            with _autocast():
                loss = criterion(net(_laid_out(images)), labels)
            loss.backward()
            optimizer.step()
            samples += len(labels)
        timer.stop(samples)
        scheduler.step(epoch + 1)
        accuracies.append(_accuracy(net, val, accuracy))
    print_result(timer, accuracies, len(validation), batch=settings.batch, lr=rate)


def _network(timm: Any, settings: Settings, classes: int) -> nn.Module:
    name = NETWORKS.get(settings.network, settings.network)
    size = {"img_size": settings.size} if settings.network in NETWORKS else {}
    net: Any = timm.create_model(name, num_classes=classes, **size)
    if settings.network not in NETWORKS:
        net = start_from(net, settings.weights)
    if settings.probe:
        freeze(net)
        net.get_classifier().requires_grad_(True)
    layout = torch.channels_last if device().type == "cuda" else torch.contiguous_format
    moved: nn.Module = net.to(device(), memory_format=layout)
    return moved


def _autocast() -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16, enabled=device().type == "cuda")


def _laid_out(images: torch.Tensor) -> torch.Tensor:
    on_gpu = images.device.type == "cuda"
    return images.contiguous(memory_format=torch.channels_last) if on_gpu else images


@torch.no_grad()
def _accuracy(net: nn.Module, loader: Any, accuracy: Callable[..., Any]) -> float:
    net.eval()
    correct = seen = 0.0
    for images, labels in loader:
        with _autocast():
            outputs = net(_laid_out(images))
        correct += float(accuracy(outputs, labels)[0]) / 100 * len(labels)
        seen += len(labels)
    return correct / seen


if __name__ == "__main__":
    main()
