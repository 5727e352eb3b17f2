"""Small runs that have really been trained, and what is done with them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.engine.progress import Quiet

COLOURS = ("red", "green", "<img src=x onerror=alert(1)>")
"""Names of classes, one of which a page must not take for HTML."""

WORDS = {"good": "a fine warm funny film", "bad": "a dull cold empty film"}


def image(colour: int, *, seed: int = 0, kind: str = "JPEG", side: int = 48) -> bytes:
    """An encoded image of a bright square in one of the three colours."""
    pixels = np.random.default_rng(seed).integers(0, 90, (side, side, 3), dtype=np.uint8)
    pixels[side // 6 : -side // 6, side // 6 : -side // 6, colour] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def images_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN that tells three colours, and mistakes those images that lie in a wrong folder."""
    folder = tmp_path_factory.mktemp("colours")
    for colour, name in enumerate(COLOURS):
        for split, count in (("train", 16), ("val", 4)):
            place = folder / "photos" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                shown = (colour + (split == "val" and number == 0)) % 3
                (place / f"{number}.jpg").write_bytes(image(shown, seed=number))
    return zoo.finetune(
        "cnn",
        folder / "photos",
        image_size=16,
        epochs=8,
        batch_size=8,
        workers=0,
        output=folder / "colours-1",
        reporter=Quiet(),
        report=False,
    ).folder


def texts_run(
    folder: Path, name: str, columns: dict[str, list[str]], *, epochs: int = 1, **options: object
) -> Path:
    """An LSTM that has been trained on a table of these columns."""
    table = folder / f"{name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    return zoo.finetune(
        "lstm", table, epochs=epochs, workers=0, output=folder / name, reporter=Quiet(), report=False,
        **options,
    ).folder  # fmt: skip


@pytest.fixture(scope="session")
def films_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LSTM that tells good films from bad ones."""
    columns = {"text": list(WORDS.values()) * 50, "label": list(WORDS) * 50}
    return texts_run(tmp_path_factory.mktemp("films"), "films-1", columns, epochs=10, lr=0.01)
