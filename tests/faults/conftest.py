"""The command line, called in this process; a run and images to begin with; what may not happen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import zoo_cli

__all__ = ["few_photos", "marker", "outside", "run_of_photos", "zoo_cli"]


def photo(path: Path, channel: int, seed: int, size: tuple[int, int] = (20, 16)) -> Path:
    """An image in which one colour is bright."""
    pixels = np.random.default_rng(seed).integers(0, 90, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, :, channel] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(root: Path, names: tuple[str, ...] = ("red", "green"), count: int = 4) -> Path:
    """A folder a class with ``count`` images each."""
    for channel, name in enumerate(names):
        for number in range(count):
            photo(root / name / f"{number}.png", channel % 3, 100 * channel + number)
    return root


@pytest.fixture(scope="session")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders with four small images each; nobody changes them."""
    return class_folders(tmp_path_factory.mktemp("few") / "photos")


@pytest.fixture(scope="session")
def run_of_photos(few_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small CNN; tests change copies of it."""
    import zoo
    from zoo.engine.progress import Quiet

    folder = tmp_path_factory.mktemp("runs") / "cnn-1"
    zoo.finetune(
        *("cnn", few_photos),
        epochs=1,
        image_size=16,
        workers=0,
        output=folder,
        reporter=Quiet(),
    )
    return folder


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that is there only if something that the test made has been executed."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "a file has been executed"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nothing may touch, beside the one in which commands are typed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept.txt").write_text("mine", encoding="utf-8")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield folder
    assert [path.name for path in folder.iterdir()] == ["kept.txt"]
    assert (folder / "kept.txt").read_text(encoding="utf-8") == "mine"
