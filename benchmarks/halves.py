"""Ten classes of photographs in two halves, A and B: a network is pretrained on A and fine-tuned on B."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from PIL import Image

import zoo
from zoo.engine.progress import Quiet

SAME: Mapping[str, Any] = {"strategy": "full", "lr": 1e-3, "layer_decay": 1.0}
"""zoo's defaults for training from scratch, used with pretrained weights too."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Backbone, data and training settings."""

    backbone: str
    source: Path
    work: Path
    shots: int
    first_epochs: int
    epochs: int
    batch_size: int
    image_size: int

    @property
    def halves(self) -> tuple[list[str], list[str]]:
        """Class names of A and B, alternating in alphabetical order."""
        names = sorted(path.name for path in (self.source / "train").iterdir() if path.is_dir())
        return names[::2], names[1::2]


photographs = click.option(
    "--data",
    "source",
    default="../shared/data/clothing",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with train, val and test, each with a folder per class.",
)


@contextmanager
def own_registry() -> Iterator[Path]:
    """A temporary folder; the user's registry.toml and cache stay as they are."""
    with tempfile.TemporaryDirectory() as work:
        os.environ["XDG_CONFIG_HOME"] = os.path.join(work, "config")
        os.environ["ZOO_CACHE"] = os.path.join(work, "cache")
        yield Path(work)


def shrink(plan: Plan) -> None:
    """Copy all images at twice the input size of the network, to load them faster."""
    for path in sorted(plan.source.glob("*/*/*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        target = plan.work / "images" / path.relative_to(plan.source).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            factor = 2 * plan.image_size / min(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=95)


def lay_out(plan: Plan, seed: int) -> tuple[Path, Path]:
    """Create the folders of A and B, B with ``plan.shots`` training images per class."""
    images, folder = plan.work / "images", plan.work / f"seed-{seed}"
    generator = random.Random(seed)
    first, second = plan.halves
    for name in first:
        for split in ("train", "val", "test"):
            shutil.copytree(images / split / name, folder / "a" / split / name)
    for name in second:
        sampled = generator.sample(sorted((images / "train" / name).iterdir()), plan.shots)
        target = folder / "b" / "train" / name
        target.mkdir(parents=True)
        for path in sampled:
            shutil.copy(path, target)
        for split in ("val", "test"):
            shutil.copytree(images / split / name, folder / "b" / split / name)
    return folder / "a", folder / "b"


def quietly(plan: Plan, seed: int) -> dict[str, Any]:
    """Options that all runs have."""
    return {"image_size": plan.image_size, "seed": seed, "workers": 0, "reporter": Quiet()}


def test_accuracy(run: zoo.Run, data: Path) -> float:
    """Accuracy on the test images."""
    return float(run.evaluate(data, split="test", workers=0)["test"].metrics["accuracy"])
