"""The same input with different labels is told, with an example."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.opened import open_data
from tests.unit.test_data_folders import class_folders, open_images
from zoo.modalities import TEXT


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("tables")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


def notes(path: Path, rows: list[str], columns: str = "text,label", **options: object) -> list[str]:
    path.write_text("\n".join([columns, *rows]) + "\n")
    return list(open_data(path, kind=TEXT, **options).notes)  # type: ignore[arg-type]


ROWS = [f"film {i},{'ab'[i % 2]}" for i in range(10)]


def test_an_image_in_two_class_folders_is_reported(tmp_path: Path) -> None:
    root = class_folders(tmp_path, {"cat": 6, "dog": 6})
    assert open_images(root).notes == ()
    shutil.copy(root / "cat" / "02.jpg", root / "dog" / "x.jpg")
    shutil.copy(root / "cat" / "02.jpg", root / "dog" / "y.jpg")
    shutil.copy(root / "cat" / "01.jpg", root / "cat" / "twin.jpg")
    (told,) = open_images(root).notes
    assert told.startswith("1 image ")
    assert told.endswith(f"{root / 'cat' / '02.jpg'} (cat) and {root / 'dog' / 'x.jpg'} (dog)")


def test_an_image_that_validation_labels_otherwise_is_reported(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3})
    (tmp_path / "val" / "dog").mkdir(parents=True)
    shutil.copy(tmp_path / "train" / "cat" / "00.jpg", tmp_path / "val" / "dog" / "z.jpg")
    (told,) = open_images(tmp_path).notes
    assert told.endswith(f"{tmp_path / 'val' / 'dog' / 'z.jpg'} (dog)")


def test_a_text_with_two_labels_is_reported_whatever_its_case(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert notes(path, ROWS) == []
    (told,) = notes(path, [*ROWS, "FILM  3,a", "film 5,a", "film 5,b"])
    assert told.startswith("2 texts ")
    assert told.endswith(f"{path} row 4 (b) and {path} row 11 (a), …")


def test_texts_with_other_sets_of_labels_or_numbers_are_reported(tmp_path: Path) -> None:
    several = notes(tmp_path / "x.csv", [*ROWS, "film 0,a|b"], "text,labels", task="multi-label")
    assert several[0].endswith(f"{tmp_path / 'x.csv'} row 11 (a 1, b 1)")
    numbers = [f"film {i},{i}.5" for i in range(10)]
    told = notes(tmp_path / "y.csv", [*numbers, "film 9,3"], "text,score", task="regression")
    assert "row 10 (score 9.5) and " in told[0]
