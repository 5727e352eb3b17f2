"""``--cache-images``: images are decoded once, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine import decoding
from zoo.engine.decoding import worth_decoding
from zoo.engine.progress import Quiet
from zoo.modalities.image.decoded import ImageDecoding
from zoo.system.paths import cache_folder


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other tests decode the same images."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def trained(photos: Path, output: Path, **options: object) -> zoo.Run:
    return zoo.finetune(
        "cnn", photos, weights="none", epochs=2, image_size=32, workers=0, output=output,
        **{"reporter": Quiet(), "report": False, **options},
    )  # fmt: skip


def kept() -> list[Path]:
    return list((cache_folder() / "features").glob("*.arrow"))


@pytest.mark.slow
def test_it_changes_nothing_but_how_often_files_are_read(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    again = trained(photos, tmp_path / "again", cache_images=False)
    assert not kept()
    once = trained(photos, tmp_path / "once")
    assert kept()
    assert once.record["sha256"] == again.record["sha256"]
    assert once.metrics == again.metrics
    rows = json.loads(zoo_cli("cache", "--json").out)
    assert "images" in {row.get("split") for row in rows}


def test_what_does_not_fit_is_decoded_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 100)
    before = len(kept())
    trained(photos, tmp_path / "run", cache_images=True, val_split=0.3)
    assert len(kept()) == before


def test_a_folder_that_cannot_be_written_is_reported(photos: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Tells(Quiet):
        def note(self, text: str) -> None:
            told.append(text)

    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("no folder")
    trained(photos, tmp_path / "run", reporter=Tells())
    assert any("failed to cache the decoded images in" in text for text in told)


@pytest.mark.parametrize(
    ("requested", "size", "device", "epochs", "worth"),
    [
        (None, 64, "cpu", 2, True),
        (None, 64, "cpu", 1, False),
        (None, 224, "cpu", 9, False),
        (None, 224, "cuda", 9, True),
        (True, 224, "cpu", 1, True),
        (False, 64, "cpu", 9, False),
    ],
)
def test_it_is_done_where_it_pays(
    requested: bool | None, size: int, device: str, epochs: int, worth: bool
) -> None:
    assert (
        worth_decoding(requested, ImageDecoding(size), device=torch.device(device), epochs=epochs)
        is worth
    )
