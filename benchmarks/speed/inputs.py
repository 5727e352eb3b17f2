"""Training data and initial weights of all libraries, created once and kept in a folder.

Images are of five classes of clothing, alternating in alphabetical order. The initial weights are trained on
the other five classes, because the benchmark also runs offline.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.report import packaged_model
from benchmarks.speed.measuring import ROOT
from zoo.system.files import write_text

EPOCHS, SIZE = 10, 64
"""Number of epochs and image size for training the initial weights; small, to take about a minute."""


class Inputs:
    """Paths of inputs, created on first use.

    Args:
        shared: Folder with ``clothing`` and ``sst2``.
        folder: Folder for created inputs.
        small: Whether this is a trial run, which trains the initial weights for one epoch only.
    """

    def __init__(self, shared: Path, folder: Path, *, small: bool) -> None:
        self._shared, self._folder = shared, folder
        self._epochs = 1 if small else EPOCHS

    def data(self, kind: str, samples: int) -> Path:
        """A data folder with ``samples`` training samples and at most as many validation samples.

        Args:
            kind: ``clothing`` or ``sst2``; or synthetic data: ``generated`` (small images),
                ``photographs`` (larger images of eight classes), ``sentences`` (texts of more than 128 tokens).
            samples: Maximum; there are 600 images of clothing and 6,920 texts of SST-2.
        """
        folder = self._folder / f"{kind}-{samples}"
        make = {
            "clothing": self._clothing,
            "sst2": self._texts,
            "generated": _blurred,
            "photographs": _photographs,
            "sentences": _sentences,
        }[kind]
        return _made(folder, lambda part: make(part, samples))

    def start(self, backbone: str) -> Path:
        """A file of initial weights, or the folder of a text encoder.

        Args:
            backbone: ``resnet18`` (briefly trained on clothing), ``minilm`` (pretrained), or
                ``resnet50``, ``vit_b_16``, ``bert`` and ``resnet18-random`` (random weights).
        """
        if backbone == "minilm":
            return packaged_model()
        if backbone == "resnet18":
            run = self._folder / f"start-{self._epochs}"
            return _made(run, self._train_start) / "model.safetensors"
        path = self._folder / (backbone if backbone == "bert" else f"{backbone}.safetensors")
        return _made(path, partial(_random, backbone))

    def _clothing(self, folder: Path, samples: int) -> None:
        _, names = self._halves()
        self._copy(names, folder, samples)

    def _copy(self, names: list[str], folder: Path, samples: int) -> None:
        for split in ("train", "val"):
            for name in names:
                target = folder / split / name
                target.mkdir(parents=True)
                found = sorted((self._shared / "clothing" / split / name).glob("*.jpg"))
                for path in found[: samples // len(names)]:
                    shutil.copyfile(path, target / path.name)

    def _halves(self) -> tuple[list[str], list[str]]:
        training = self._shared / "clothing" / "train"
        if not training.is_dir():
            raise click.ClickException(f"no images of clothes in {training}; use --data PATH")
        names = sorted(path.name for path in training.iterdir() if path.is_dir())
        return names[::2], names[1::2]

    def _texts(self, folder: Path, samples: int) -> None:
        folder.mkdir(parents=True)
        for split in ("train", "dev"):
            source = self._shared / "sst2" / f"{split}.tsv"
            lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(folder / source.name, "".join(lines[: samples + 1]))

    def _train_start(self, run: Path) -> None:
        click.echo("training the initial weights", err=True)
        others, _ = self._halves()
        images = _made(self._folder / "others", lambda part: self._copy(others, part, 600))
        options = f"--weights none --epochs {self._epochs} --image-size {SIZE} --precision fp32"
        command = [sys.executable, "-m", "zoo", "finetune", "resnet18", *options.split()]
        command += ["--data", str(images), "--output", str(run)]
        environment = os.environ | {"ZOO_CACHE": str(self._folder / "cache-of-start")}
        subprocess.run(command, env=environment, cwd=ROOT, check=True)


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """Create ``path`` with ``make`` if it does not exist; discards incomplete output of earlier runs."""
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        part.rename(path)
    return path


def network(name: str, size: int = 224, classes: int = 2) -> nn.Module:
    """A network with random weights: torchvision's, or BERT-base (``bert``).

    Args:
        name: ``resnet18``, ``resnet50``, ``vit_b_16`` or ``bert``.
        size: Image size, to which a ViT is bound.
        classes: Outputs of torchvision's networks.
    """
    from zoo.system.tensors.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    if name == "bert":
        from transformers import BertConfig, BertModel

        return BertModel(BertConfig())
    from torchvision import models

    bound = {"image_size": size} if name.startswith("vit") else {}
    net: nn.Module = models.get_model(name, num_classes=classes, **bound)
    return net


def _random(name: str, path: Path) -> None:
    """Write random weights of a network; for BERT, a model folder with MiniLM's tokenizer."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = network(name.removesuffix("-random"))
    if name != "bert":
        save_file(net.state_dict(), path)
        return
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(packaged_model()).save_pretrained(path)
    net.save_pretrained(path)


def _sentences(folder: Path, samples: int) -> None:
    """Generate texts of 150 words in two classes, which prefer other words."""
    folder.mkdir(parents=True)
    words = np.array(["the", "a", "film", "of", "was", "story", "with", "time", "it", "music"])
    chances = np.linspace(1.0, 1.6, len(words)) / np.linspace(1.0, 1.6, len(words)).sum()
    for split, count in (("train", samples), ("dev", max(2, samples // 10))):
        generator = np.random.default_rng(len(split))
        rows = [
            f"{' '.join(generator.choice(words, 150, p=chances[:: 1 - 2 * (number % 2)]))}\t{number % 2}\n"
            for number in range(count)
        ]
        write_text(folder / f"{split}.tsv", "".join(["text\tlabel\n", *rows]))


def _blurred(folder: Path, samples: int) -> None:
    """Generate images of blurred noise, 96 by 96 pixels, in two classes."""
    for split, count in (("train", samples), ("val", max(2, samples // 10))):
        generator = np.random.default_rng(len(split))
        for number in range(count):
            target = folder / split / ("dark", "light")[number % 2]
            target.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 128, (12, 12, 3)) + 127 * (number % 2)
            image = Image.fromarray(pixels.astype(np.uint8))
            image.resize((96, 96)).save(target / f"{number:05}.jpg")


SIDE = 256
"""Height and width of generated photographs."""


def _photographs(folder: Path, samples: int) -> None:
    """Generate images of 256 by 256 pixels in eight classes: a pattern in one of two hues, and noise.

    Mirroring and cropping do not change the class. All processor cores work in parallel.
    """
    splits = {"train": samples, "val": max(2 * len(_PATTERNS), samples // 10)}
    for split in splits:
        for name in range(2 * len(_PATTERNS)):
            (folder / split / f"class-{name}").mkdir(parents=True)
    pieces = [
        (folder / split, part)
        for split, count in splits.items()
        for part in np.array_split(np.arange(count), min(count, 4 * (os.cpu_count() or 1)))
    ]
    # Spawned, as the caller may have threads of torch.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_photograph, *zip(*pieces, strict=True)))


_PATTERNS: Sequence[Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = (
    lambda x, y: np.sin(x),
    lambda x, y: np.sin(y),
    lambda x, y: np.sin(x) * np.sin(y),
    lambda x, y: np.sin(np.hypot(x - 20, y - 20)),
)


def _photograph(folder: Path, numbers: NDArray[np.int64]) -> None:
    """Write the images with these numbers."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    for number in numbers:
        generator = np.random.default_rng([int(number), len(folder.name)])
        pattern, hue = divmod(int(number) % (2 * len(_PATTERNS)), 2)
        scale = generator.uniform(0.15, 0.3)
        waves = _PATTERNS[pattern](scale * x + generator.uniform(0, 6), scale * y)
        tint = np.array([(1.0, 0.6, 0.3), (0.3, 0.6, 1.0)][hue])
        coarse = generator.normal(128, 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)), dtype=np.float64)
        pixels = pixels + 30 * waves[..., None] * tint + generator.normal(0, 12, (SIDE, SIDE, 1))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / f"class-{2 * pattern + hue}" / f"{number:05}.jpg")
