"""What lies in the cache is what was written there, or it is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.decoded import decoded_once
from zoo.data.samples import Samples
from zoo.data.sequences import Paths
from zoo.engine import feature_files
from zoo.engine.feature_files import is_whole
from zoo.engine.features import compute
from zoo.engine.progress import Quiet
from zoo.modalities import IMAGE
from zoo.modalities.image.decoded import ImageDecoding
from zoo.modalities.image.reading import read_image


class Notes(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def new_process(monkeypatch) -> None:
    monkeypatch.setattr(feature_files, "_verified", {})


def forget() -> None:
    feature_files._verified.clear()


def flip(file: Path, place: int) -> None:
    """One bit, without a new time of change or size."""
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    with open(file, "r+b") as opened:
        opened.write(content)


def features(folder: Path, notes: Notes, made: list[int]) -> Any:
    def fill(array: Any) -> None:
        made.append(1)
        array[:] = np.arange(60, dtype=np.float32).reshape(20, 3)

    return compute(
        folder, key=["a"], shape=(20, 3), dtype=np.float32, fill=fill, facts={}, reporter=notes
    )


@pytest.mark.parametrize("place", [-1, -100, 200])
def test_features_with_one_flipped_bit_are_computed_again_and_that_is_said(tmp_path, place):
    notes, made = Notes(), list[int]()
    right = np.array(features(tmp_path, notes, made))
    forget()
    assert np.array_equal(features(tmp_path, notes, made), right)
    assert (len(made), notes.notes) == (1, [])
    (file,) = tmp_path.glob("*.npy")
    flip(file, place)
    forget()
    assert np.array_equal(features(tmp_path, notes, made), right)
    assert len(made) == 2
    assert "damaged" in notes.notes[0]
    assert str(file) in notes.notes[0]
    forget()
    features(tmp_path, notes, made)
    assert len(made) == 2


def test_features_whose_checksum_is_gone_are_computed_again(tmp_path):
    notes, made = Notes(), list[int]()
    right = np.array(features(tmp_path, notes, made))
    (facts,) = tmp_path.glob("*.json")
    facts.unlink()
    forget()
    assert np.array_equal(features(tmp_path, notes, made), right)
    assert len(made) == 2


def test_a_file_is_read_through_once_a_process(tmp_path, monkeypatch):
    notes, made, read = Notes(), list[int](), list[Path]()
    features(tmp_path, notes, made)
    forget()
    checksum = feature_files._checksum
    monkeypatch.setattr(feature_files, "_checksum", lambda p: read.append(p) or checksum(p))
    for _ in range(3):
        features(tmp_path, notes, made)
    assert (len(read), len(made)) == (1, 1)
    assert is_whole(tmp_path / "absent.npy") is None


def test_decoded_images_with_one_flipped_bit_are_decoded_again_and_that_is_said(tmp_path):
    photos, cache, notes = tmp_path / "photos", tmp_path / "cache", Notes()
    photos.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (30, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{number}.png")
    names = [f"{number}.png" for number in range(3)]
    samples = Samples(IMAGE, Paths.under(photos, names), np.arange(3), fingerprint="x")

    def again() -> list[Any]:
        forget()
        found = decoded_once(samples, ImageDecoding(16), cache, reporter=notes)
        return [np.array(found.raw(i)) for i in range(3)]

    right = [np.array(read_image(photos / name, size=16)) for name in names]
    assert all(map(np.array_equal, again(), right))
    (file,) = cache.glob("*.arrow")
    flip(file, file.stat().st_size // 2)
    assert all(map(np.array_equal, again(), right))
    assert len(notes.notes) == 1
    assert "damaged" in notes.notes[0]
    again()
    assert len(notes.notes) == 1
