"""What every peer has: its command line, its clock, its JSON line."""

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

# torchvision from PyPI does not import beside a CPU build of torch, nor does what imports it.
declare_missing_operators()

WORKERS = 2
"""Processes that read images."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, as everybody's images are normalised by."""


def options(command: Callable[..., None]) -> click.Command:
    """The options of every peer."""
    folder = click.Path(path_type=Path, exists=True)
    for option in (
        click.option("--probe", is_flag=True, help="The backbone is frozen."),
        click.option("--seed", type=int, default=0),
        click.option("--epochs", type=int, required=True),
        click.option("--weights", type=folder, required=True, help="What everybody starts from."),
        click.option("--data", type=folder, required=True, help="With train and val, or dev."),
    ):
        command = option(command)
    return click.command()(command)


class Clock:
    """Counts the time of training alone, and the samples that it took.

    Attributes:
        speeds: Samples a second of each epoch.
        samples: Of the last epoch.
    """

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self.samples = 0
        self._began: float | None = None

    def start(self) -> None:
        """Training begins, or an epoch of it."""
        self._began = time.perf_counter()

    def stop(self, samples: int) -> None:
        """An epoch of training is over; a second call before the next start changes nothing."""
        if self._began is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.speeds.append(samples / (time.perf_counter() - self._began))
            self.samples, self._began = samples, None


def tell(clock: Clock, accuracies: Sequence[float], validated_on: int) -> None:
    """Print the result as the last line.

    Args:
        clock: Of the training.
        accuracies: On the validation split, after each epoch.
        validated_on: Samples that it has.
    """
    # The harmonic mean, as zoo's own: all samples by all of the time.
    speed = len(clock.speeds) / sum(1 / speed for speed in clock.speeds)
    result = {
        "accuracy": max(accuracies),
        "samples_per_second": round(speed, 2),
        "passes": len(clock.speeds),
        "trained_on": clock.samples,
        "validated_on": validated_on,
    }
    print(json.dumps(result))


def backbone_state(weights: Path) -> dict[str, Tensor]:
    """The parameters in a file of ResNet's, less those of its head."""
    from safetensors.torch import load_file

    state = load_file(weights)
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def start_from(net: nn.Module, weights: Path) -> nn.Module:
    """``net``, a ResNet of torchvision's or timm's, with what is in the file; its head stays."""
    missing, unexpected = net.load_state_dict(backbone_state(weights), strict=False)
    if set(missing) != {"fc.weight", "fc.bias"} or unexpected:
        raise click.ClickException(f"{weights} is of another network")
    return net


def freeze(modules: nn.Module) -> None:
    """Let no parameter of ``modules`` train."""
    for parameter in modules.parameters():
        parameter.requires_grad = False


def image_loaders(data: Path, size: int = 224) -> dict[str, Any]:
    """``train`` and ``val``: images as the tutorial prepares them, ``(B, 3, size, size)``."""
    from torch.utils.data import DataLoader
    from torchvision import datasets
    from torchvision import transforms as t

    end = [t.ToTensor(), t.Normalize(MEAN, STD)]
    varied = t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), *end])
    plain = t.Compose([t.Resize(size * 256 // 224), t.CenterCrop(size), *end])
    return {
        split: DataLoader(
            datasets.ImageFolder(str(data / split), transform),
            batch_size=BATCH,
            shuffle=split == "train",
            num_workers=WORKERS,
        )
        for split, transform in (("train", varied), ("val", plain))
    }
