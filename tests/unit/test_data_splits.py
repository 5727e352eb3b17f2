"""Splits are never taken for classes, and what is beside the folders that are read is told."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.opened import open_data
from tests.unit.test_data_folders import class_folders, image, open_images
from zoo.data.samples import Splits
from zoo.data.sources.split_names import by_split, split_of
from zoo.data.sources.walk import holds_files, walk
from zoo.errors import BadFilesError, ClassesError, DataError
from zoo.modalities import IMAGE, TEXT


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("tables")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


def sizes(splits: Splits) -> tuple[int, int]:
    assert splits.val is not None
    return len(splits.train), len(splits.val)


def loose(root: Path, count: int, start: int = 0) -> Path:
    for i in range(count):
        image(root / f"{i}.png", seed=start + i)
    return root


def listing(path: Path, column: str, count: int, folder: str = "") -> None:
    rows = [f"{folder}{i}.png,{'ab'[i % 2]}" for i in range(count)]
    path.write_text("\n".join([f"{column},label", *rows]) + "\n")


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Training_Set", "train"), ("train_images", "train")),
        *(("trainset", "train"), ("train2017", "train"), ("train-00000-of-00001", "train")),
        *(("validate", "val"), ("dev", "val"), ("eval", "val"), ("val_data", "val")),
        *(("Testing", "test"), ("test1", "test"), ("seg_test", "test")),
        *(("trains", None), ("training shoes", None), ("contest", None), ("data", None)),
        *(("train_test", None), ("validation_matched", None)),
    ],
)
def test_what_a_name_says_of_its_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_eval_is_the_test_split_where_there_is_a_validation_split() -> None:
    assert by_split(["train", "val", "eval"]) == {
        "train": ["train"],
        "val": ["val"],
        "test": ["eval"],
    }
    assert by_split(["train", "eval"]) == {"train": ["train"], "val": ["eval"]}
    assert by_split(["train", "train_images"]) == {"train": ["train"]}


# -- folders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eval", "validate", "dev", "Validation_Set", "holdout"])
def test_a_held_out_folder_of_any_usual_name_validates(tmp_path: Path, name: str) -> None:
    class_folders(tmp_path / "train", {"a": 5, "b": 5})
    class_folders(tmp_path / name, {"a": 2, "b": 1})
    splits = open_images(tmp_path)
    assert sizes(splits) == (10, 3)
    assert all(f"/{name}/" in splits.val.input(i) for i in range(3))
    told = [fact for fact in splits.notes if f"{name}/ as the val split" in fact]
    assert bool(told) == (name != "dev")


def test_split_folders_of_loose_images_are_read_by_their_metadata(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 4)):
        loose(tmp_path / split, count)
        listing(tmp_path / split / "metadata.csv", "file_name", count)
    splits = open_images(tmp_path)
    assert splits.classes == ("a", "b")
    assert sizes(splits) == (6, 2)
    held_out = open_data(tmp_path, kind=IMAGE, need="evaluate", known_classes=("a", "b"))
    assert len(held_out.test) == 4


def test_one_metadata_table_above_split_folders_gives_both(tmp_path: Path) -> None:
    lines = ["file_name,label"]
    for split, count in (("train", 8), ("val", 4)):
        loose(tmp_path / split, count)
        lines += [f"{split}/{i}.png,{'ab'[i % 2]}" for i in range(count)]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    splits = open_images(tmp_path)
    assert sizes(splits) == (8, 4)
    assert all("/val/" in splits.val.input(i) for i in range(4))
    assert any("by the folders of its paths" in fact for fact in splits.notes)


def test_names_in_a_table_are_looked_for_in_the_folder_of_its_split(tmp_path: Path) -> None:
    loose(tmp_path / "train", 8)
    loose(tmp_path / "test", 8, start=50)
    listing(tmp_path / "train.csv", "image_id", 8)
    splits = open_images(tmp_path)
    assert sizes(splits) == (6, 2)
    assert {Path(splits.train.input(i)).parent for i in range(6)} == {tmp_path / "train"}
    assert any("from train/" in fact for fact in splits.notes)


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "extra")])
def test_splits_of_loose_images_are_not_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        loose(tmp_path / name, 4)
    with pytest.raises(DataError, match=r"train/"):
        open_images(tmp_path)


def test_folds_are_not_classes(tmp_path: Path) -> None:
    for name in ("fold1", "fold2"):
        class_folders(tmp_path / name, {"a": 3, "b": 3})
    with pytest.raises(DataError, match=r"folds.*fold1, fold2"):
        open_images(tmp_path)


def test_a_class_called_train_with_folders_inside_does_not_swallow_the_others(
    tmp_path: Path,
) -> None:
    class_folders(tmp_path, {"bus": 3})
    class_folders(tmp_path / "train", {"2023": 3, "2024": 3})
    with pytest.raises(DataError, match=r"train/.*bus/"):
        open_images(tmp_path)


def test_a_validation_folder_without_labels_is_not_replaced_by_a_share(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 5, "b": 5})
    loose(tmp_path / "val", 4)
    with pytest.raises(DataError, match="val holds images, but no class folders"):
        open_images(tmp_path)


def test_what_lies_beside_the_splits_is_reported(tmp_path: Path) -> None:
    for split in ("train", "val"):
        class_folders(tmp_path / split, {"a": 3, "b": 3})
    class_folders(tmp_path / "more", {"a": 3})
    loose(tmp_path / "test", 2)
    loose(tmp_path, 2)
    image(tmp_path / "train" / "stray.jpg")
    (tmp_path / "labels.csv").write_text("x\n1\n")
    notes = " | ".join(open_images(tmp_path).notes)
    for fact in (
        "ignored test/: it holds images without class folders",
        f"ignored 2 images (0.png, …) outside the folders of {tmp_path}",
        f"ignored 1 image (stray.jpg) outside the folders of {tmp_path / 'train'}",
        f"ignored beside the splits in {tmp_path}: more/, labels.csv",
    ):
        assert fact in notes


def test_two_names_of_one_folder_are_reported(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 3, "b": 3})
    (tmp_path / "val").symlink_to("train")
    with pytest.raises(DataError, match="the same folder"):
        open_images(tmp_path)
    (tmp_path / "train" / "c").symlink_to("a")
    with pytest.raises(DataError, match=r"a/.*c/"):
        open_images(tmp_path / "train")


def test_a_split_folder_with_tables_of_several_splits_is_refused(tmp_path: Path) -> None:
    for split in ("train", "val"):
        loose(tmp_path / split, 4)
        for name in ("train.csv", "val.csv"):
            listing(tmp_path / split / name, "path", 4)
    with pytest.raises(DataError, match="several splits: train, val"):
        open_images(tmp_path)


# -- columns -----------------------------------------------------------------------------------


def texts(path: Path, splits: list[str], column: str = "split") -> Path:
    rows = [f"film {i} {'good' if i % 2 else 'bad'},{i % 2},{s}" for i, s in enumerate(splits)]
    path.write_text("\n".join([f"text,label,{column}", *rows]) + "\n")
    return path


@pytest.mark.parametrize("column", ["split", "Data-Split", "subset"])
def test_a_column_of_splits_splits_the_table(tmp_path: Path, column: str) -> None:
    path = texts(tmp_path / "x.csv", ["train"] * 16 + ["validation"] * 8 + ["test"] * 4, column)
    splits = open_data(path, kind=TEXT)
    assert sizes(splits) == (16, 8)
    assert splits.val.input(0).endswith("row 17")
    assert any("train 16, val 8, test 4" in fact for fact in splits.notes)
    held_out = open_data(path, kind=TEXT, need="evaluate", known_classes=("0", "1"))
    assert {name: len(s) for name, s in held_out.to_evaluate(trained_on="").items()} == {
        "val": 8,
        "test": 4,
    }


def test_a_split_may_lack_a_class_that_only_another_has(tmp_path: Path) -> None:
    path = texts(tmp_path / "x.csv", ["train"] * 8)
    with path.open("a") as file:
        file.write("film new,2,test\n")
    assert open_data(path, kind=TEXT).classes == ("0", "1")


def test_several_labels_and_numbers_are_split_by_the_column_too(tmp_path: Path) -> None:
    rows = [f"film {i},{'a|b' if i % 2 else 'b'},{i}.5,train" for i in range(8)]
    rows += ["film x,c,3.5,test", "film y,a,1.5,val"]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["text,labels,score,split", *rows]))
    splits = open_data(path, kind=TEXT)
    assert (splits.classes, *sizes(splits)) == (("a", "b"), 8, 1)
    numbers = open_data(path, kind=TEXT, task="regression", label_column="score")
    assert sizes(numbers) == (8, 1)


def test_rows_of_no_split_are_reported(tmp_path: Path) -> None:
    path = texts(tmp_path / "x.csv", ["train"] * 8 + ["", "val", "val"])
    with pytest.raises(BadFilesError, match=r"9.*'split'"):
        open_data(path, kind=TEXT)
    assert sizes(open_data(path, kind=TEXT, bad_files="skip")) == (8, 2)


def test_a_column_that_names_splits_and_something_else_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "x.csv", ["train"] * 8 + ["later"] * 4)
    with pytest.raises(DataError, match="'later'"):
        open_data(path, kind=TEXT)


def test_columns_that_name_no_splits_are_columns_like_others(tmp_path: Path) -> None:
    path = texts(tmp_path / "x.csv", ["train", "bus"] * 10, "set")
    assert sizes(open_data(path, kind=TEXT)) == (16, 4)
    path = texts(tmp_path / "y.csv", ["left", "right"] * 10)
    assert sizes(open_data(path, kind=TEXT)) == (16, 4)
    path = texts(tmp_path / "z.csv", ["train", "test"] * 10)
    splits = open_data(path, kind=TEXT, label_column="split")
    assert splits.classes == ("test", "train")


def test_a_table_of_one_split_with_rows_of_others_is_refused(tmp_path: Path) -> None:
    texts(tmp_path / "train.csv", ["train"] * 8 + ["test"] * 4)
    texts(tmp_path / "val.csv", ["val"] * 8)
    with pytest.raises(DataError, match=r"is the train split by its name.* rows of test"):
        open_data(tmp_path, kind=TEXT)


def test_tables_that_are_not_read_are_reported(tmp_path: Path) -> None:
    texts(tmp_path / "train.csv", ["x"] * 10)
    texts(tmp_path / "eval.csv", ["x"] * 4)
    texts(tmp_path / "unlabelled.csv", ["x"] * 4)
    splits = open_data(tmp_path, kind=TEXT)
    assert sizes(splits) == (10, 4)
    assert splits.notes == (f"ignored tables in {tmp_path}: unlabelled.csv",)


# -- walking -----------------------------------------------------------------------------------


def unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``folder`` refuse to be listed, for root too, whom permissions do not hold."""
    listed = os.scandir

    def scandir(path):
        if os.path.realpath(path) == os.path.realpath(folder):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "photos", {"a": 4, "b": 4})
    loose(root / "a" / "more", 4)
    unreadable(root / "a" / "more", monkeypatch)
    with pytest.raises(BadFilesError, match=r"a/more"):
        open_images(root)
    splits = open_images(root, bad_files="skip")
    assert sum(sizes(splits)) == 8
    assert [line.partition(":")[0] for line in splits.skipped] == [str(root / "a" / "more")]
    assert holds_files(root / "a" / "more", IMAGE), "it may hold some"


def test_a_class_or_all_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "photos", {"a": 4, "b": 4})
    unreadable(root / "b", monkeypatch)
    with pytest.raises(BadFilesError, match="b: the folder cannot be read"):
        open_images(root)
    unreadable(root, monkeypatch)
    with pytest.raises(DataError, match="photos cannot be read: Permission denied"):
        open_images(root)


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="needs another user")
def test_a_folder_without_permission_is_reported_to_a_user_who_is_not_root(tmp_path):
    root = class_folders(tmp_path / "photos", {"a": 2, "b": 2})
    loose(root / "a" / "more", 2)
    (root / "a" / "more").chmod(0)
    child = os.fork()
    if not child:
        code = 1
        try:
            os.chdir(root)  # the folders above may be closed to that user
            os.setuid(65534)
            walked = walk(Path("a"))
            reached = len(walked.files) == 2
            code = 0 if reached and [p for p, _ in walked.unread] == ["a/more"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_links_in_pairs_leave_each_image_its_one_class(tmp_path: Path) -> None:
    root = class_folders(tmp_path, {"cat": 3, "dog": 3})
    (root / "cat" / "l").symlink_to("../dog")
    (root / "dog" / "l").symlink_to("../cat")
    splits = open_images(root)
    assert sum(sizes(splits)) == 6
    for samples in (splits.train, splits.val):
        for i, label in enumerate(samples.labels):
            assert Path(samples.input(i)).parent.name == splits.classes[label]
    assert any("2 links" in fact for fact in splits.notes)


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path) -> None:
    pool = loose(tmp_path / "pool" / "x", 3)
    (pool / "back").symlink_to("../y")
    loose(tmp_path / "pool" / "y", 2, start=10)
    (tmp_path / "pool" / "y" / "back").symlink_to("../x")
    (tmp_path / "pool" / "y" / "self").symlink_to("self")
    root = class_folders(tmp_path / "photos", {"a": 2, "b": 2})
    (root / "a" / "one").symlink_to(pool)
    (root / "a" / "two").symlink_to(pool)
    (root / "b" / "kept").symlink_to("../.kept")
    loose(root / ".kept", 4, start=20)
    walked = walk(root / "a", root)
    assert len(walked.inputs(IMAGE)) == 2 + 3 + 2
    assert len(walk(root / "b", root).inputs(IMAGE)) == 2 + 4


def test_any_depth_of_folders_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    monkeypatch.chdir(root / "a")
    for _ in range(1_200):
        os.mkdir("d")
        os.chdir("d")
    try:
        shutil.copy(root / "a" / "00.jpg", "deep.jpg")
        assert Counter(Path(p).name for p in walk(root / "a").inputs(IMAGE))["deep.jpg"] == 1
        assert holds_files(root, IMAGE)
    finally:  # pytest, whose way of removing folders recurses, would fail over these
        os.remove("deep.jpg")
        for _ in range(1_200):
            os.chdir("..")
            os.rmdir("d")


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "lost+found", "$RECYCLE.BIN", "__MACOSX", "System Volume Information", ".git"],
)
def test_folders_of_the_system_are_no_classes(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, {"a": 3, "b": 3})
    (root / name).mkdir()
    image(root / "a" / name / "thumb.jpg", seed=99)
    splits = open_images(root)
    assert splits.classes == ("a", "b")
    assert sum(sizes(splits)) == 6
    assert any("2 system folders" in fact for fact in splits.notes) == (name != ".git")


def test_one_name_with_and_without_blanks_is_reported_to_be_one_class(tmp_path: Path) -> None:
    splits = open_images(class_folders(tmp_path, {"a": 2, "a ": 2, "b": 2}))
    assert splits.classes == ("a", "b")
    assert any("'a' and 'a ' are the same class" in fact for fact in splits.notes)


def test_classes_that_hold_the_same_folders_are_reported(tmp_path: Path) -> None:
    for year in ("2023", "2024"):
        class_folders(tmp_path / year, {"cat": 3, "dog": 3})
    splits = open_images(tmp_path)
    assert splits.classes == ("2023", "2024")
    told = "using 2023, 2024 as classes; each of them has the subfolders cat, dog"
    assert told in splits.notes
    image(tmp_path / "2024" / "one.jpg", seed=77)
    assert told not in open_images(tmp_path).notes


# -- numbers as names --------------------------------------------------------------------------


def test_folders_called_1_and_1_0_are_two_classes(tmp_path: Path) -> None:
    splits = open_images(class_folders(tmp_path, {"1": 3, "1.0": 3, "2": 3}))
    assert set(splits.classes) == {"1", "1.0", "2"}
    for i, label in enumerate(splits.train.labels):
        assert Path(splits.train.input(i)).parent.name == splits.classes[label]


def test_labels_1_and_1_0_of_one_table_are_reported_to_be_one_class(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "text,label\n" + "".join(f"t {i},{('1', '1.0', '2')[i % 3]}\n" for i in range(30))
    )
    splits = open_data(path, kind=TEXT)
    assert splits.classes == ("1", "2")
    (note,) = splits.notes
    assert f"'1.0' and '1' of {path}" in note
    assert np.bincount(splits.train.labels).tolist() == [16, 8]


# -- tables that do not list all images, and folders around the data ----------------------------


def _images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * number, 9, 9)).save(folder / name)


@pytest.mark.parametrize("inner", ["", "images/"])
def test_images_that_no_row_of_the_table_names_are_counted(tmp_path: Path, inner: str) -> None:
    _images(tmp_path, *(f"{inner}{i}.png" for i in range(6)))
    rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + rows)
    splits = open_data(tmp_path, kind=IMAGE, val_split=0.5)
    assert len(splits.train) + len(splits.val) == 4
    [told] = [note for note in splits.notes if "list" in note]
    assert told.startswith(f"ignored 2 of 6 images in {tmp_path}")
    assert f"{inner}4.png" in told


def test_images_of_a_test_folder_count_although_names_in_the_table_are_the_same(
    tmp_path: Path,
) -> None:
    _images(tmp_path, *(f"{split}/{i}.png" for split in ("train", "test") for i in range(4)))
    rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
    (tmp_path / "train.csv").write_text("id,label\n" + rows)
    notes = open_data(tmp_path, kind=IMAGE).notes
    assert f"ignored 4 of 8 images in {tmp_path} that the table does not list (test/0.png, …)" in (
        notes
    )


def test_images_of_other_splits_tables_count_as_named(tmp_path: Path) -> None:
    _images(tmp_path, *(f"{i}.png" for i in range(6)))
    for split, numbers in {"train": (0, 1), "val": (2, 3), "test": (4,)}.items():
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in numbers)
        (tmp_path / f"{split}.csv").write_text("file_name,label\n" + rows)
    splits = open_data(tmp_path, kind=IMAGE)
    assert [note for note in splits.notes if "list" in note] == [
        f"ignored 1 of 6 images in {tmp_path} that the table does not list (5.png)"
    ]
    (tmp_path / "test.csv").write_text("")  # its faults are no reason not to train
    assert len(open_data(tmp_path, kind=IMAGE).train) == 2


def test_images_that_the_table_of_a_split_folder_does_not_name_are_counted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        _images(tmp_path / split, *(f"{i}.png" for i in range(5)))
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
        (tmp_path / split / "metadata.csv").write_text("file_name,label\n" + rows)
    notes = open_data(tmp_path, kind=IMAGE).notes
    assert len([note for note in notes if "1 of 5 images" in note]) == 2


@pytest.mark.parametrize("inner", ["train/cat", "cat"])
def test_a_folder_around_the_data_is_named_with_what_to_type(tmp_path: Path, inner: str) -> None:
    _images(tmp_path, f"photos/{inner}/1.png", "photos/val/cat/2.png", "__MACOSX/photos/x.png")
    with pytest.raises(ClassesError, match="'photos'") as caught:
        open_data(tmp_path, kind=IMAGE)
    assert f"--data {tmp_path / 'photos'}" in caught.value.hint


def test_one_class_without_folders_asks_for_another(tmp_path: Path) -> None:
    _images(tmp_path, "cat/1.png", "cat/2.png")
    with pytest.raises(ClassesError, match="only one class") as caught:
        open_data(tmp_path, kind=IMAGE)
    assert "Add samples" in caught.value.hint
