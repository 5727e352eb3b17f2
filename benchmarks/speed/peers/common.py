"""Shared by the training scripts: command-line options, timing, JSON output, data loading."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks.speed.cases import BATCH
from zoo.system.tensors.torchvision_operators import declare_missing_operators

# torchvision from PyPI cannot be imported with a CPU build of torch, nor can libraries that use it.
declare_missing_operators()

WORKERS = 2
"""Number of data-loading processes."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet statistics, used for normalisation by all libraries."""


def options(command: Callable[..., None]) -> click.Command:
    """Add the options common to all training scripts."""
    folder = click.Path(path_type=Path, exists=True)
    for option in (
        click.option("--probe", is_flag=True, help="Freeze the backbone."),
        click.option("--seed", type=int, default=0),
        click.option("--epochs", type=int, required=True),
        click.option("--weights", type=folder, required=True, help="Initial weights."),
        click.option(
            "--data", type=folder, required=True, help="Data folder with train and val (or dev)."
        ),
    ):
        command = option(command)
    return click.command()(command)


class TrainingTimer:
    """Measures training throughput, excluding validation.

    Attributes:
        speeds: Samples per second, per epoch.
        samples: Number of samples in the last epoch.
    """

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self.samples = 0
        self._began: float | None = None

    def start(self) -> None:
        """Start timing an epoch of training."""
        self._began = time.perf_counter()

    def stop(self, samples: int) -> None:
        """End timing an epoch of training; no effect if the timer is not running."""
        if self._began is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.speeds.append(samples / (time.perf_counter() - self._began))
            self.samples, self._began = samples, None


def print_result(timer: TrainingTimer, accuracies: Sequence[float], validated_on: int) -> None:
    """Print the result as one line of JSON; call it last.

    Args:
        timer: The timer of the training run.
        accuracies: Validation accuracy after each epoch.
        validated_on: Number of validation samples.
    """
    # Harmonic mean, as in zoo: total samples divided by total time.
    speed = len(timer.speeds) / sum(1 / speed for speed in timer.speeds)
    result = {
        "accuracy": max(accuracies),
        "samples_per_second": round(speed, 2),
        "passes": len(timer.speeds),
        "trained_on": timer.samples,
        "validated_on": validated_on,
    }
    print(json.dumps(result))


def backbone_state(weights: Path) -> dict[str, Tensor]:
    """Load the weights of a ResNet, without its head."""
    from safetensors.torch import load_file

    state = load_file(weights)
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def start_from(net: nn.Module, weights: Path) -> nn.Module:
    """Load weights into the backbone of ``net``, a ResNet of torchvision or timm; keeps its head."""
    missing, unexpected = net.load_state_dict(backbone_state(weights), strict=False)
    if set(missing) != {"fc.weight", "fc.bias"} or unexpected:
        raise click.ClickException(f"{weights} does not match the network")
    return net


def freeze(module: nn.Module) -> None:
    """Freeze all parameters of ``module``."""
    for parameter in module.parameters():
        parameter.requires_grad = False


def image_loaders(data: Path, size: int = 224) -> dict[str, Any]:
    """Loaders ``train`` and ``val`` of ``(B, 3, size, size)``, with the tutorial's transforms."""
    from torch.utils.data import DataLoader
    from torchvision import datasets
    from torchvision import transforms as t

    normalised = [t.ToTensor(), t.Normalize(MEAN, STD)]
    augmented = t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), *normalised])
    plain = t.Compose([t.Resize(size * 256 // 224), t.CenterCrop(size), *normalised])
    return {
        split: DataLoader(
            datasets.ImageFolder(str(data / split), transform),
            batch_size=BATCH,
            shuffle=split == "train",
            num_workers=WORKERS,
        )
        for split, transform in (("train", augmented), ("val", plain))
    }
