"""Shared by the training scripts: command-line options, timing, JSON output, data loading."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.utils.data import dataloader

from benchmarks.speed.cases import BATCH
from zoo.system.tensors.torchvision_operators import declare_missing_operators

# torchvision from PyPI cannot be imported with a CPU build of torch, nor can libraries that use it.
declare_missing_operators()

WORKERS = 2
"""Number of data-loading processes."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet statistics, used for normalisation by all libraries."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every training script is told."""

    data: Path
    weights: Path
    epochs: int
    seed: int
    probe: bool
    network: str
    batch: int
    workers: int
    size: int


def options(main: Callable[..., None]) -> click.Command:
    """A command with the options of all training scripts, and those that ``main`` has itself.

    ``main`` gets the :class:`Settings`, and its own options by name.
    """

    @functools.wraps(main)
    def command(**values: Any) -> None:
        common = {field.name: values.pop(field.name) for field in fields(Settings)}
        main(Settings(**common), **values)

    path = click.Path(path_type=Path, exists=True)
    for option in (
        click.option("--size", default=224, help="Image height and width, or tokens."),
        click.option("--workers", default=WORKERS, help="Number of data-loading processes."),
        click.option("--batch", default=BATCH, help="Batch size."),
        click.option("--network", default="resnet18", help="resnet18, resnet50, vit_b_16 or bert."),
        click.option("--probe", is_flag=True, help="Freeze the backbone."),
        click.option("--seed", type=int, default=0),
        click.option("--epochs", type=int, required=True),
        click.option("--weights", type=path, required=True, help="Initial weights."),
        click.option(
            "--data", type=path, required=True, help="Folder with train and val (or dev)."
        ),
    ):
        command = option(command)
    return click.command()(command)


def device() -> torch.device:
    """The GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Waiting:
    """Seconds that all dataloaders of this process have kept their callers waiting."""

    def __init__(self) -> None:
        self.seconds = 0.0
        iterator: Any = dataloader._BaseDataLoaderIter
        following = iterator.__next__

        def timed(loader: Any) -> Any:
            began = time.perf_counter()
            try:
                return following(loader)
            finally:
                self.seconds += time.perf_counter() - began

        iterator.__next__ = timed


_waiting = _Waiting()


class TrainingTimer:
    """Measures training throughput, excluding validation.

    Attributes:
        speeds: Samples per second, per epoch.
        waiting: Share of its time that an epoch waited for data, per epoch.
        samples: Number of samples in the last epoch.
    """

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self.waiting: list[float] = []
        self.samples = 0
        self._first: float | None = None
        self._began: float | None = None
        self._waited = 0.0

    def start(self) -> None:
        """Start timing an epoch of training."""
        self._began, self._waited = time.perf_counter(), _waiting.seconds
        self._first = self._first or self._began

    def stop(self, samples: int) -> None:
        """End timing an epoch of training; no effect if the timer is not running."""
        if self._began is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - self._began
            self.speeds.append(samples / seconds)
            self.waiting.append((_waiting.seconds - self._waited) / seconds)
            self.samples, self._began = samples, None

    def result(self) -> dict[str, Any]:
        """Throughput and waiting; call it after the last validation."""
        # Harmonic mean, as in zoo: total samples divided by total time.
        speed = len(self.speeds) / sum(1 / speed for speed in self.speeds)
        found = {
            "samples_per_second": round(speed, 2),
            "waiting": round(self.waiting[-1], 4),
            "epoch_seconds": round((time.perf_counter() - self._first) / len(self.speeds), 3),
            "passes": len(self.speeds),
            "trained_on": self.samples,
        }
        return found | ({"steady": round(self.speeds[-1], 2)} if len(self.speeds) > 1 else {})


def print_result(
    timer: TrainingTimer, accuracies: Sequence[float], validated_on: int, *, batch: int, lr: float
) -> None:
    """Print the result as one line of JSON; call it last.

    Args:
        timer: The timer of the training run.
        accuracies: Validation accuracy after each epoch; empty if it was not measured.
        validated_on: Number of validation samples.
        batch: Batch size.
        lr: Learning rate, at its highest.
    """
    result = {**timer.result(), "validated_on": validated_on, "batch_size": batch, "lr": lr}
    if torch.cuda.is_available():
        result["gpu_memory"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result | ({"accuracy": max(accuracies)} if accuracies else {})))


def backbone_state(weights: Path) -> dict[str, Tensor]:
    """Load the weights of an image network, without its head."""
    from safetensors.torch import load_file

    state = load_file(weights)
    return {
        name: tensor for name, tensor in state.items() if not name.startswith(("fc.", "heads."))
    }


def start_from(net: nn.Module, weights: Path) -> nn.Module:
    """Load weights into the backbone of ``net``, of torchvision or timm; keeps its head.

    A ViT for another image size keeps its own position embedding.
    """
    state = backbone_state(weights)
    own = net.state_dict()
    state = {n: t for n, t in state.items() if "pos_embedding" not in n or t.shape == own[n].shape}
    missing, unexpected = net.load_state_dict(state, strict=False)
    if unexpected or not all(n.startswith(("fc.", "heads.")) or "pos_emb" in n for n in missing):
        raise click.ClickException(f"{weights} does not match the network")
    return net


def freeze(module: nn.Module) -> None:
    """Freeze all parameters of ``module``."""
    for parameter in module.parameters():
        parameter.requires_grad = False


def image_loaders(settings: Settings, **more: Any) -> dict[str, Any]:
    """Loaders ``train`` and ``val`` of ``(B, 3, size, size)``, with the tutorial's transforms.

    Args:
        settings: Data, size, batch size and workers.
        more: Further arguments of both loaders.
    """
    from torch.utils.data import DataLoader
    from torchvision import datasets
    from torchvision import transforms as t

    size = settings.size
    normalised = [t.ToTensor(), t.Normalize(MEAN, STD)]
    augmented = t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), *normalised])
    plain = t.Compose([t.Resize(size * 256 // 224), t.CenterCrop(size), *normalised])
    return {
        split: DataLoader(
            datasets.ImageFolder(str(settings.data / split), transform),
            batch_size=settings.batch,
            shuffle=split == "train",
            num_workers=settings.workers,
            **more,
        )
        for split, transform in (("train", augmented), ("val", plain))
    }
