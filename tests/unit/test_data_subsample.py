"""Samples drawn from data, and all of them in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.opened import open_rows, open_subsample
from zoo.data.labels import Labels, Numbers
from zoo.data.subsample import MIN_PER_CLASS, subsample_indices
from zoo.errors import BadFilesError, DataError
from zoo.modalities import IMAGE, TEXT


def test_each_class_has_its_share_and_the_rare_ones_a_few() -> None:
    codes = np.repeat([0, 1, 2], [700, 293, 7])
    labels = Labels(("many", "some", "few"), codes)
    chosen = subsample_indices(labels, 100, seed=1)
    assert np.bincount(codes[chosen]).tolist() == [70, 29, MIN_PER_CLASS]
    assert (np.diff(chosen) > 0).all()
    assert (chosen == subsample_indices(labels, 100, seed=1)).all()
    assert (chosen != subsample_indices(labels, 100, seed=2)).any()
    assert len(subsample_indices(labels, 5000, seed=1)) == 1000


def test_numbers_are_drawn_at_random() -> None:
    numbers = Numbers(("price",), np.arange(50, dtype=np.float32)[:, None])
    assert len(subsample_indices(numbers, 20, seed=0)) == 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images of two classes in ``train``, one of them broken, and two in ``test``."""
    for name, count in (("train/cat", 6), ("train/dog", 6), ("test/cat", 1), ("test/dog", 1)):
        place = tmp_path / "images" / name
        place.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(place / f"{number}.png")
    (tmp_path / "images" / "train" / "cat" / "3.png").write_bytes(b"no image")
    return tmp_path / "images"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "words.csv"
    file.write_text("text,label\n" + "".join(f"word {i},{'ab'[i % 2]}\n" for i in range(40)))
    return file


def test_what_the_data_are_is_found_out(folder: Path, table: Path) -> None:
    assert open_subsample(folder, samples=50, kinds=(IMAGE, TEXT), bad_files="skip").kind == IMAGE
    splits = open_subsample(table, samples=10, kinds=(IMAGE, TEXT))
    assert (splits.kind, len(splits.train), splits.classes) == (TEXT, 10, ("a", "b"))
    assert splits.val is None
    images = table.with_name("images.csv")
    images.write_text(
        "path,label\n" + "".join(f"images/train/dog/{i}.png,{i % 2}\n" for i in range(6))
    )
    assert open_subsample(images, samples=10, kinds=(IMAGE, TEXT)).kind == IMAGE


def test_only_what_is_drawn_is_read(folder: Path) -> None:
    with pytest.raises(BadFilesError, match=r"3\.png"):
        open_subsample(folder, samples=50, kinds=(IMAGE, TEXT))
    splits = open_subsample(folder, samples=50, kinds=(IMAGE, TEXT), bad_files="skip")
    assert len(splits.train) == 11
    assert len(splits.skipped) == 1
    for name in ("cat", "dog"):
        (folder / "test" / name / "0.png").write_bytes(b"not read")
    assert (
        open_subsample(folder, samples=50, kinds=(IMAGE, TEXT), bad_files="skip").fingerprint
        == splits.fingerprint
    )


def test_the_first_complaint_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or folder"):
        open_subsample(tmp_path / "absent", samples=10, kinds=(IMAGE, TEXT))
    (tmp_path / "t.csv").write_text("text,mood\na,b\nc,d\n")
    with pytest.raises(DataError, match="no column of labels"):
        open_subsample(tmp_path / "t.csv", samples=10, kinds=(IMAGE, TEXT))


def test_all_rows_come_in_their_order_split_after_split(folder: Path) -> None:
    rows = open_rows(folder, kind=IMAGE, bad_files="skip")
    assert {name: len(samples) for name, samples in rows.splits.items()} == {"train": 11, "test": 2}
    assert (rows.classes, rows.task, len(rows.skipped)) == (("cat", "dog"), "single-label", 1)
    names = [rows.splits["train"].input(i) for i in range(11)]
    assert names == sorted(names)
    only = open_rows(folder, kind=IMAGE, split="test")
    assert list(only.splits) == ["test"]
    with pytest.raises(DataError, match="'val'"):
        open_rows(folder, kind=IMAGE, split="val")


def test_rows_need_no_labels(folder: Path, table: Path, tmp_path: Path) -> None:
    loose = open_rows(folder / "train" / "dog", kind=IMAGE)
    assert (len(loose), loose.task, loose.classes) == (6, None, ())
    (tmp_path / "lines.txt").write_text("one line\nanother\n")
    lines = open_rows(tmp_path / "lines.txt", kind=TEXT)
    assert [lines.splits["all"].input(i)[-6:] for i in range(2)] == ["line 1", "line 2"]
    (tmp_path / "bare.csv").write_text("text\nx\ny\n")
    assert open_rows(tmp_path / "bare.csv", kind=TEXT).splits["all"].labels is None


def test_the_same_inputs_have_the_same_fingerprint_whatever_their_labels(tmp_path: Path) -> None:
    for name, labels in (("one.csv", "abab"), ("two.csv", "aabb"), ("three.csv", "abab")):
        texts = "wxyz" if name != "three.csv" else "wxzy"
        lines = [f"{text},{label}\n" for text, label in zip(texts, labels, strict=True)]
        (tmp_path / name).write_text("text,label\n" + "".join(lines))
    one, two, three = (
        open_rows(tmp_path / f"{name}.csv", kind=TEXT).splits["all"].fingerprint
        for name in ("one", "two", "three")
    )
    assert one == two != three


def test_data_without_a_training_split_and_without_a_readable_input_are_reported(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / "val" / name).mkdir(parents=True)
        (tmp_path / "data" / "val" / name / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="data has no training split, only val"):
        open_subsample(tmp_path / "data", samples=10, kinds=(IMAGE, TEXT))
    with pytest.raises(DataError, match="data has no readable inputs"):
        open_rows(tmp_path / "data", kind=IMAGE, bad_files="skip")
