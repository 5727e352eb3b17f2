"""A run opens each file of its data once; the next run on the same data opens none."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import zoo
from zoo.data import examined_cache
from zoo.engine.progress import Quiet


class Opens:
    """Counts how often the files of a folder are opened, in worker processes too.

    An audit hook cannot be removed: it writes nothing while there is no log.
    """

    def __init__(self) -> None:
        self.folder, self.log = "", -1
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple[object, ...]) -> None:
        if event == "open" and self.log >= 0 and isinstance(args[0], str | bytes | os.PathLike):
            path = os.fsdecode(args[0])
            if path.startswith(self.folder):
                os.write(self.log, f"{path.removeprefix(self.folder)}\n".encode())


OPENS = Opens()


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The names of opened files, one a line."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(examined_cache, "SETTLED", -3600.0)  # a test's files are new
    log = tmp_path / "opened.txt"
    OPENS.folder = str(tmp_path / "photos") + os.sep
    OPENS.log = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    yield log
    os.close(OPENS.log)
    OPENS.log = -1


def counted(log: Path) -> Counter[str]:
    """How often each file was opened since the last call."""
    found = Counter(log.read_text().split())
    os.truncate(log, 0)
    return found


def trained(data: Path, output: Path, **options: object) -> zoo.Run:
    return zoo.finetune(
        "cnn", data, weights="none", image_size=32, output=output,
        **{"epochs": 2, "workers": 0, "reporter": Quiet(), "report": False, **options},
    )  # fmt: skip


@pytest.mark.slow
def test_each_file_is_opened_once_and_then_never(
    photos: Path, tmp_path: Path, opened: Path
) -> None:
    files = {str(path.relative_to(photos)) for path in photos.rglob("*.*")}
    first = trained(photos, tmp_path / "first", workers=2)
    assert counted(opened) == dict.fromkeys(files, 1)
    second = trained(photos, tmp_path / "second")
    assert counted(opened) == {}
    assert second.record["sha256"] == first.record["sha256"]
    new = {f"red/new-{number}.jpg" for number in range(3)}
    for number, name in enumerate(sorted(new)):
        with Image.open(photos / "red" / f"{number}.jpg") as image:
            image.rotate(180).save(photos / name)
    counted(opened)
    trained(photos, tmp_path / "more", epochs=1, cache_images=True)
    assert counted(opened) == dict.fromkeys(new, 1)
    trained(photos, tmp_path / "probe", strategy="probe", epochs=1)
    assert counted(opened) == dict.fromkeys(files | new, 1)  # for features, which are then cached
    trained(photos, tmp_path / "again", strategy="probe", epochs=1)
    assert counted(opened) == {}
