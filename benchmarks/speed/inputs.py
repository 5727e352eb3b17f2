"""Training data and initial weights of all libraries, created once and kept in a folder.

Images are of five classes of clothing, alternating in alphabetical order. The initial weights are trained on
the other five classes, because the benchmark also runs offline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
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
                ``photographs`` (larger images), ``sentences`` (texts of more than 128 tokens).
            samples: Maximum; there are 600 images of clothing and 6,920 texts of SST-2.
        """
        folder = self._folder / f"{kind}-{samples}"
        make = {
            "clothing": self._clothing,
            "sst2": self._texts,
            "generated": partial(_generate, side=96),
            "photographs": partial(_generate, side=256),
            "sentences": _sentences,
        }[kind]
        return _made(folder, lambda part: make(part, samples))

    def start(self, backbone: str) -> Path:
        """A file of initial weights, or the folder of a text encoder.

        Args:
            backbone: ``resnet18`` (briefly trained on clothing), ``minilm`` (pretrained), or
                ``resnet50``, ``vit_b_16`` and ``bert`` (random weights).
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


def network(name: str) -> nn.Module:
    """A network with random weights: torchvision's with two classes, or BERT-base (``bert``)."""
    from zoo.system.tensors.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    if name == "bert":
        from transformers import BertConfig, BertModel

        return BertModel(BertConfig())
    from torchvision import models

    net: nn.Module = models.get_model(name, num_classes=2)
    return net


def _random(name: str, path: Path) -> None:
    """Write random weights of a network; for BERT, a model folder with MiniLM's tokenizer."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = network(name)
    if name != "bert":
        save_file(net.state_dict(), path)
        return
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(packaged_model()).save_pretrained(path)
    net.save_pretrained(path)


def _sentences(folder: Path, samples: int) -> None:
    """Generate texts of 200 random words in two classes."""
    folder.mkdir(parents=True)
    words = np.array(["the", "a", "film", "of", "was", "story", "with", "time", "it", "music"])
    for split, count in (("train", samples), ("dev", max(2, samples // 10))):
        generator = np.random.default_rng(len(split))
        rows = [
            f"{' '.join(generator.choice(words, 200))} {('bad', 'good')[number % 2]}\t{number % 2}\n"
            for number in range(count)
        ]
        write_text(folder / f"{split}.tsv", "".join(["text\tlabel\n", *rows]))


def _generate(folder: Path, samples: int, *, side: int) -> None:
    """Generate images of blurred noise, ``side`` by ``side`` pixels, in two classes."""
    for split, count in (("train", samples), ("val", max(2, samples // 10))):
        generator = np.random.default_rng(len(split))
        for number in range(count):
            target = folder / split / ("dark", "light")[number % 2]
            target.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 128, (12, 12, 3)) + 127 * (number % 2)
            image = Image.fromarray(pixels.astype(np.uint8))
            image.resize((side, side)).save(target / f"{number:05}.jpg")
