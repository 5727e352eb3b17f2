"""A folder in which the documentation's commands are typed: small data, small networks, real runs.

The names that the documents use stay as they are. ``registry.toml`` in that folder, which is how
the zoo gives short names, lets those of networks with weights to download stand for small ones.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import glob
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.docs.blocks import why_unrun
from zoo.cli import main
from zoo.runs.calibration_file import CALIBRATION, FittedCalibration, Scores, write_calibration

STAND_INS = {
    "resnet18": "basics/cnn",
    "resnet50": "basics/cnn",
    "vgg16": "standins/vgg16",
    "minilm": "basics/lstm",
    "bert-base-uncased": "path:{bert}",
}
TEXTS = ("minilm", "lstm", "bert", "pairs", "roberta")
WORDS = [
    "a",
    "an",
    "the",
    "dog",
    "cat",
    "film",
    "runs",
    "moves",
    "sleeps",
    "good",
    "bad",
    "best",
    "worst",
    "again",
]
CLASSES = ("cat", "dog")


class World:
    """A folder to type in, and the namespace of its Python blocks.

    Args:
        folder: Empty; it becomes the working directory.
        material: What :func:`material` made.
        site: A folder on ``sys.path`` that plugins are installed into.
        reports: Whether fine-tunes write their reports, which takes longer than training.
    """

    def __init__(self, folder: Path, material: Path, site: Path, *, reports: bool = True) -> None:
        shutil.copytree(material, folder, dirs_exist_ok=True)
        self.folder, self.site, self.screen = folder, site, ""
        self._material, self._reports = material, reports
        names = (f'{name} = "{target}"' for name, target in STAND_INS.items())
        text = "\n".join(["[aliases]", *names, ""]).format(bert=folder / "folder")
        (folder / "registry.toml").write_text(text)
        os.chdir(folder)
        sys.modules.setdefault("documented", types.ModuleType("documented"))  # for dataclasses
        batch = torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])
        self.names: dict[str, Any] = {
            "__name__": "documented",
            "__file__": str(folder / "documented.py"),
            "zoo": zoo,
            "loader": [batch],
        }

    def type(self, line: str) -> str:
        """Type a command line; what it printed. Parts that ``UNRUN`` names are left out."""
        said = ""
        for command in line.split(" && "):
            if why_unrun(command):
                continue
            given, _, last = command.rpartition(" | ")
            stdin = subprocess.run(["bash", "-c", given], capture_output=True).stdout
            words, target = _redirected(shlex.split(last.strip()))
            if words[0] == "cd":
                os.chdir(words[1])
            elif words[:4] == ["pip", "install", "-e", "."]:
                self._install()
            else:
                assert words[0] == "zoo", f"not known how to type {command!r}"
                self._have_runs(words)
                if words[1] == "finetune" and not self._reports:
                    words.append("--no-report")
                out, err = typed(list(_globbed(words[1:])), stdin)
                self.screen += out + err
                if target:
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    Path(target).write_text(out)
                said += out
        return said

    def execute(self, code: str, name: str) -> None:
        """Run a Python block in the namespace of those before it."""
        self._have_runs(re.findall(r"""["'](runs/[^"']+)["']""", code))
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, name, "exec", dont_inherit=True), self.names)

    def _have_runs(self, words: Iterable[str]) -> None:
        """Runs that a page takes for granted have been trained before it."""
        for word in words:
            found = re.fullmatch(r"runs/([\w.-]+)-\d+", word)
            if found and not Path(word).exists():
                texts = found[1].startswith(TEXTS)
                shutil.copytree(_trained_before(*_KINDS[texts], self._material), word)

    def _install(self) -> None:
        """What ``pip install -e .`` does with a plugin in the working directory, without a network."""
        project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
        points = project["entry-points"]["zoo.plugins"]
        metadata = self.site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        lines = [f"{name} = {value}" for name, value in points.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[zoo.plugins]", *lines, ""]))
        version = f"Name: {project['name']}\nVersion: {project['version']}\n"
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\n{version}")
        sys.path.append(str(Path.cwd()))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ["PYTHONPATH"]])
        importlib.invalidate_caches()


_KINDS = ("cnn", "photos"), ("lstm", "reviews.csv")
"""Backbone and data of runs for images and for texts."""


@functools.cache
def _trained_before(name: str, data: str, material: Path) -> Path:
    run = material.parent / f"trained-{name}"
    options = ("--data", str(material / data), "--epochs", "1", "--no-report")
    typed(["finetune", name, *options, "--output", str(run)])
    write_calibration(run / CALIBRATION, _CALIBRATION)  # there are too few validation samples
    return run


_SCORES = Scores.of(np.linspace(0, 1, 40))
_CALIBRATION = FittedCalibration(
    samples=40,
    temperature=1.0,
    error_before=None,
    error_after=None,
    loss_before=None,
    loss_after=None,
    thresholds=None,
    conformal=(_SCORES,),
    distance=_SCORES,
)


def typed(arguments: list[str], stdin: bytes = b"") -> tuple[str, str]:
    """``zoo`` with arguments, in this process; its standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    fed = io.TextIOWrapper(io.BytesIO(stdin))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["zoo", *arguments])
        patch.setattr(sys, "stdin", fed)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with pytest.raises(SystemExit) as stop:
                main()
    assert not stop.value.code, f"zoo {shlex.join(arguments)}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue(), err.getvalue()


def _redirected(words: list[str]) -> tuple[list[str], str]:
    for sign in (">", ">>"):
        if sign in words:
            at = words.index(sign)
            return words[:at], os.path.expanduser(words[at + 1])
    return words, ""


def _globbed(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        found = sorted(glob.glob(word)) if "*" in word else []
        yield from found or [word]


def material(folder: Path) -> Path:
    """The data that the documents name, small: class folders, tables, a BERT in a folder."""
    random = np.random.default_rng(0)
    for name in ("photos", "animals", "plants", "clothes/train", "clothes/val", "clothes/test"):
        for number, label in enumerate(CLASSES):
            for index in range(5):
                _image(folder / name / label / f"{index}.jpg", number, random)
    loose = ("new/1.jpg", "new/2.jpg", "new.jpg", "photo.jpg", "cat.jpg")
    for name in (*loose, *(f"new/{label}/3.jpg" for label in CLASSES)):
        _image(folder / name, 0, random)
    files = [f"photos/{label}/{index}.jpg" for label in CLASSES for index in range(5)]
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(10)]
    marks = [["good", "bad"][index % 2] for index in range(10)]
    numbers = [f"{index}.5" for index in range(10)]
    reviews = {"text": texts, "body": texts, "review": texts, "label": marks, "stars": marks}
    _table(folder / "reviews.csv", **reviews)
    _table(folder / "nli.csv", premise=texts, hypothesis=texts[::-1], label=marks)
    _table(folder / "essays.csv", text=texts, grade=numbers, style=numbers[::-1])
    _table(folder / "houses.csv", path=files, price=numbers)
    _table(folder / "images.csv", path=files, labels=["red|round", "round"] * 5)
    for index in range(10):
        _image(folder / "unlabelled" / f"{index}.jpg", index % len(CLASSES), random)
    _bert(folder / "folder")
    return folder


def _image(path: Path, channel: int, random: np.random.Generator) -> None:
    pixels = random.integers(0, 90, (32, 40, 3), dtype=np.uint8)
    pixels[..., channel] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _table(path: Path, /, **columns: list[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _bert(folder: Path) -> None:
    from zoo.system.tensors.torchvision_operators import declare_missing_operators

    declare_missing_operators()  # Transformers imports torchvision
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(words), num_attention_heads=2, **sizes)
    BertModel(config).save_pretrained(folder)
    BertTokenizer({word: index for index, word in enumerate(words)}).save_pretrained(folder)
