"""What everybody trains on and starts from, made once and kept in a folder.

Images are of five classes of clothing, every second one of the sorted names. The parameters that
everybody starts from were learned on the other five, because nothing can be downloaded everywhere.
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
"""How the parameters are learned: epochs, and pixels, few of them so that it takes a minute."""


class Inputs:
    """Paths of inputs, which are made when they are first asked for.

    Args:
        shared: The folder with ``clothing`` and ``sst2``.
        folder: Where inputs are kept.
        small: Whether all this is a trial, and one epoch has to do for the parameters.
    """

    def __init__(self, shared: Path, folder: Path, *, small: bool) -> None:
        self._shared, self._folder = shared, folder
        self._epochs = 1 if small else EPOCHS

    def data(self, kind: str, samples: int) -> Path:
        """A folder with ``samples`` for training, and at most as many for validation.

        Args:
            kind: ``clothing``, ``sst2``; or generated: ``generated`` images, ``photographs``
                of more pixels, ``sentences`` of more than 128 tokens.
            samples: At most; of clothing there are 600, of SST-2's texts 6,920.
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
        """A file of parameters, or of a text encoder a folder.

        Args:
            backbone: ``resnet18`` has learned something, ``minilm`` much; ``resnet50``,
                ``vit_b_16`` and ``bert`` have random parameters.
        """
        if backbone == "minilm":
            return packaged_model()
        if backbone == "resnet18":
            run = self._folder / f"start-{self._epochs}"
            return _made(run, self._learn) / "model.safetensors"
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
            raise click.ClickException(f"no images of clothes in {training}; --data names them")
        names = sorted(path.name for path in training.iterdir() if path.is_dir())
        return names[::2], names[1::2]

    def _texts(self, folder: Path, samples: int) -> None:
        folder.mkdir(parents=True)
        for split in ("train", "dev"):
            source = self._shared / "sst2" / f"{split}.tsv"
            lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(folder / source.name, "".join(lines[: samples + 1]))

    def _learn(self, run: Path) -> None:
        click.echo("learning the parameters that everybody starts from", err=True)
        others, _ = self._halves()
        images = _made(self._folder / "others", lambda part: self._copy(others, part, 600))
        options = f"--weights none --epochs {self._epochs} --image-size {SIZE} --precision fp32"
        command = [sys.executable, "-m", "zoo", "finetune", "resnet18", *options.split()]
        command += ["--data", str(images), "--output", str(run)]
        environment = os.environ | {"ZOO_CACHE": str(self._folder / "cache-of-start")}
        subprocess.run(command, env=environment, cwd=ROOT, check=True)


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """``path``, which ``make`` has written; what it left half written before is written again."""
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        part.rename(path)
    return path


def network(name: str) -> nn.Module:
    """A network with random parameters: torchvision's for two classes, or BERT-base (``bert``)."""
    from zoo.system.tensors.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    if name == "bert":
        from transformers import BertConfig, BertModel

        return BertModel(BertConfig())
    from torchvision import models

    net: nn.Module = models.get_model(name, num_classes=2)
    return net


def _random(name: str, path: Path) -> None:
    """Write a network's random parameters; of BERT a whole folder, with MiniLM's tokenizer."""
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
    """Texts of 200 random words, good ones or bad ones."""
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
    """Images of blurred noise, ``side`` by ``side`` pixels, in two classes."""
    for split, count in (("train", samples), ("val", max(2, samples // 10))):
        generator = np.random.default_rng(len(split))
        for number in range(count):
            target = folder / split / ("dark", "light")[number % 2]
            target.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 128, (12, 12, 3)) + 127 * (number % 2)
            image = Image.fromarray(pixels.astype(np.uint8))
            image.resize((side, side)).save(target / f"{number:05}.jpg")
