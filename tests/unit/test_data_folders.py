"""Folders of images: layouts, classes, splits, and everything that can be wrong with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.opened import open_data
from zoo.data.classes import choose_classes
from zoo.data.labels import Labels, Part
from zoo.data.sequences import Listed
from zoo.errors import BadFilesError, ClassesError, DataError
from zoo.modalities import IMAGE, TEXT

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(root: Path, counts: dict[str, int], suffix: str = ".jpg") -> Path:
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image(root / name / f"{i:02}{suffix}", seed=100 * c + i)
    return root


def truncate(path: Path, share: float = 0.6) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def open_images(root: Path, **options: object):
    return open_data(root, kind=IMAGE, **options)  # type: ignore[arg-type]


def test_class_folders_alone_are_split_with_each_class_on_both_sides(tmp_path):
    root = class_folders(tmp_path, {"a": 2, "b": 10, "c": 30})
    splits = open_images(root, val_split=0.2, seed=3)
    assert splits.classes == ("a", "b", "c")
    assert Counter(splits.val.labels.tolist()) == {0: 1, 1: 2, 2: 6}
    assert Counter(splits.train.labels.tolist()) == {0: 1, 1: 8, 2: 24}
    paths = {splits.train.input(i) for i in range(len(splits.train))}
    assert len(paths) == 33
    assert not paths & {splits.val.input(i) for i in range(len(splits.val))}


def test_the_split_depends_on_the_seed_alone(tmp_path):
    root = class_folders(tmp_path, {"a": 20, "b": 20})

    def held_out(seed):
        val = open_images(root, seed=seed).val
        return [val.input(i) for i in range(len(val))]

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


def test_a_class_with_one_image_is_trained_on(tmp_path):
    splits = open_images(class_folders(tmp_path, {"a": 1, "b": 10}))
    assert 0 in splits.train.labels
    assert 0 not in splits.val.labels


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val"])
def test_a_validation_folder_is_known_by_its_usual_names(tmp_path, name):
    class_folders(tmp_path / "train", {"a": 3, "b": 3})
    class_folders(tmp_path / name, {"b": 2})
    splits = open_images(tmp_path)
    assert len(splits.train) == 6
    assert splits.val.labels.tolist() == [1, 1], "b keeps its index where val lacks a"


def test_a_training_folder_without_validation_is_split_and_the_test_folder_left_alone(tmp_path):
    class_folders(tmp_path / "train", {"a": 5, "b": 5})
    truncate(image(tmp_path / "test" / "a" / "0.jpg"))
    splits = open_images(tmp_path)
    assert (len(splits.train), len(splits.val), splits.test) == (8, 2, None)


def test_a_class_called_train_is_not_a_split(tmp_path):
    splits = open_images(class_folders(tmp_path, {"bus": 3, "train": 3}))
    assert splits.classes == ("bus", "train")


def test_dot_files_mac_litter_and_other_files_are_passed_over(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 3, ".cache": 2, "__MACOSX": 2})
    (tmp_path / "a" / "._00.jpg").write_bytes(b"resource fork")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    splits = open_images(tmp_path)
    assert splits.classes == ("a", "b")
    assert len(splits.train) + len(splits.val) == 6


def test_images_deep_in_a_class_folder_count(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    image(tmp_path / "a" / "2024" / "may" / "x.png")
    splits = open_images(tmp_path)
    assert len(splits.train) + len(splits.val) == 5


def test_numbered_classes_are_sorted_as_numbers(tmp_path):
    splits = open_images(class_folders(tmp_path, {"10": 2, "9": 2, "1": 2}))
    assert splits.classes == ("1", "9", "10")
    for samples in (splits.train, splits.val):
        for i, label in enumerate(samples.labels):
            assert Path(samples.input(i)).parent.name == splits.classes[label]


def test_an_unknown_class_in_validation_is_named(tmp_path):
    class_folders(tmp_path / "train", {"cat": 2, "dog": 2})
    class_folders(tmp_path / "val", {"cat": 2, "dogs": 2})
    with pytest.raises(ClassesError, match=r"'dogs'.*'dog'"):
        open_images(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    with pytest.raises(ClassesError, match="'hat'"):
        open_images(class_folders(tmp_path, {"cap": 2, "hat": 0, "tie": 2}))


def test_an_empty_class_folder_in_validation_is_fine(tmp_path):
    class_folders(tmp_path / "train", {"a": 2, "b": 2})
    class_folders(tmp_path / "val", {"a": 2, "z": 0})
    assert len(open_images(tmp_path).val) == 2


def test_one_class_is_too_few(tmp_path):
    with pytest.raises(ClassesError, match="'a'"):
        open_images(class_folders(tmp_path, {"a": 5}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no class folders and no images"),
        (lambda root: (root / "a").mkdir(), "no images in the 1 folders"),
        (lambda root: image(root / "x.jpg"), "holds 1 images, but no class folders"),
        (
            lambda root: class_folders(root / "val", {"a": 2, "b": 2}),
            "no training split, only val",
        ),
    ],
)
def test_folders_without_images_of_classes(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_images(tmp_path)
    assert caught.value.hint


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        open_images(tmp_path / "nowhere")


def test_two_validation_folders_are_one_too_many(tmp_path):
    for name in ("train", "val", "valid"):
        class_folders(tmp_path / name, {"a": 2, "b": 2})
    with pytest.raises(DataError, match="val/ and valid/"):
        open_images(tmp_path)


def test_another_number_of_classes_than_expected_names_both_and_the_folders(tmp_path):
    root = class_folders(tmp_path, dict.fromkeys("abcdef", 2))
    with pytest.raises(ClassesError, match=r"classes.*5.*6.*'a'.*'b'.*'f'"):
        open_images(root, classes=5)
    assert len(open_images(root, classes=6).classes) == 6


def test_the_number_of_classes_is_compared_before_any_image_is_decoded(tmp_path):
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    truncate(root / "a" / "00.jpg")
    with pytest.raises(ClassesError):
        open_images(root, classes=3)


@pytest.mark.parametrize("share", [0, 1, 2, -0.1])
def test_an_impossible_validation_share(tmp_path, share):
    with pytest.raises(DataError, match="between 0 and 1"):
        open_images(class_folders(tmp_path, {"a": 2, "b": 2}), val_split=share)


def test_damaged_images_of_all_splits_are_listed_before_training(tmp_path):
    class_folders(tmp_path / "train", {"a": 4, "b": 4})
    class_folders(tmp_path / "val", {"a": 2, "b": 2}, suffix=".png")
    bad = [
        truncate(tmp_path / "train" / "a" / "01.jpg", 0.9),
        truncate(tmp_path / "val" / "b" / "01.png", 0.7),
        tmp_path / "train" / "b" / "empty.jpg",
        tmp_path / "train" / "b" / "text.jpeg",
    ]
    bad[2].touch()
    bad[3].write_text("no image")
    with pytest.raises(BadFilesError) as caught:
        open_images(tmp_path)
    assert set(caught.value.paths) == {str(path) for path in bad}
    assert all(str(path) in caught.value.message for path in bad)
    assert "--bad-files skip" in caught.value.hint

    splits = open_images(tmp_path, bad_files="skip")
    assert (len(splits.train), len(splits.val)) == (7, 3)
    assert len(splits.skipped) == 4
    assert not any("01.jpg" in splits.train.input(i) for i in range(3) if "a" in str(bad[0]))


def test_labels_stay_with_their_images_when_some_are_left_out(tmp_path):
    root = class_folders(tmp_path, {"a": 5, "b": 5, "c": 5})
    truncate(root / "a" / "02.jpg")
    splits = open_images(root, bad_files="skip")
    for samples in (splits.train, splits.val):
        for i in range(len(samples)):
            assert Path(samples.input(i)).parent.name == splits.classes[samples.labels[i]]


def test_a_class_whose_images_are_all_damaged_is_named(tmp_path):
    root = class_folders(tmp_path, {"a": 3, "b": 1, "c": 3})
    truncate(root / "b" / "00.jpg")
    with pytest.raises(DataError, match="'b'"):
        open_images(root, bad_files="skip")


def test_no_readable_image_at_all(tmp_path):
    root = class_folders(tmp_path, {"a": 1, "b": 1})
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no readable inputs"):
        open_images(root, bad_files="skip")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read_is_listed(tmp_path):
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    (root / "a" / "00.jpg").chmod(0)
    with pytest.raises(BadFilesError, match="Permission denied"):
        open_images(root)


def test_the_fingerprint_is_that_of_the_contents(tmp_path):
    root = class_folders(tmp_path / "here", {"a": 4, "b": 4})
    copy = Path(shutil.copytree(root, tmp_path / "there"))
    os.utime(copy / "a" / "00.jpg", (0, 0))
    first = open_images(root)
    assert open_images(copy).fingerprint == first.fingerprint
    assert open_images(root, seed=1).fingerprint != first.fingerprint
    image(copy / "a" / "00.jpg", seed=999)
    assert open_images(copy).fingerprint != first.fingerprint
    shutil.move(root / "a" / "00.jpg", root / "b" / "99.jpg")
    assert open_images(root).fingerprint != first.fingerprint


def evaluated(root: Path, trained_on: str = "", known=("a", "b"), **options: object):
    splits = open_images(root, need="evaluate", known_classes=known, **options)
    return splits.to_evaluate(trained_on=trained_on)


@pytest.mark.parametrize("layout", [".", "train"])
def test_an_evaluation_on_the_training_data_holds_out_the_same_images_again(tmp_path, layout):
    class_folders(tmp_path / layout, {"a": 5, "b": 9})
    trained = open_images(tmp_path, seed=4)
    again = evaluated(tmp_path, trained.fingerprint, trained.classes, seed=4)
    assert list(again) == ["val"]
    assert again["val"].labels.tolist() == trained.val.labels.tolist()
    assert again["val"].fingerprint == trained.val.fingerprint
    assert [again["val"].input(i) for i in range(len(trained.val))] == [
        trained.val.input(i) for i in range(len(trained.val))
    ]


def test_an_evaluation_takes_other_class_folders_whole(tmp_path):
    splits = evaluated(class_folders(tmp_path, {"b": 3}))
    assert list(splits) == ["all"]
    assert splits["all"].labels.tolist() == [1, 1, 1]


def test_an_evaluation_takes_one_image_a_class(tmp_path):
    assert len(evaluated(class_folders(tmp_path, {"a": 1, "b": 1}))["all"]) == 2


def test_an_evaluation_measures_val_and_test_and_leaves_train_unread(tmp_path):
    truncate(image(tmp_path / "train" / "a" / "0.jpg"))
    class_folders(tmp_path / "val", {"a": 3})
    assert {name: len(s) for name, s in evaluated(tmp_path).items()} == {"val": 3}
    class_folders(tmp_path / "test", {"b": 4})
    splits = evaluated(tmp_path)
    assert {name: s.labels.tolist() for name, s in splits.items()} == {
        "val": [0] * 3,
        "test": [1] * 4,
    }


def test_an_evaluation_on_a_class_that_the_run_does_not_know(tmp_path):
    class_folders(tmp_path / "test", {"a": 1, "hat": 1})
    with pytest.raises(ClassesError, match=r"'hat'"):
        open_images(tmp_path, need="evaluate", known_classes=("a", "b"))


def test_one_image_is_no_training_data(tmp_path):
    with pytest.raises(DataError, match="a single image"):
        open_images(image(tmp_path / "x.jpg"))


def test_images_given_to_a_text_run(tmp_path):
    path = image(tmp_path / "photos" / "a" / "x.jpg")
    with pytest.raises(DataError, match=r"x\.jpg"):
        open_data(path, kind=TEXT)
    with pytest.raises(DataError, match=r"takes texts, .*photos holds images"):
        open_data(tmp_path / "photos", kind=TEXT)


@pytest.mark.long
def test_image_folders_are_opened_without_heavy_imports(tmp_path):
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    code = (
        "import sys; from tests.opened import open_data; from zoo.modalities import IMAGE; "
        f"open_data({str(root)!r}, kind=IMAGE); "
        "heavy = {'datasets', 'sklearn', 'torchvision', 'pandas', 'pyarrow', 'tokenizers'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not SHARED.exists(), reason="the shared photographs are not here")
def test_real_photographs_of_clothes():
    splits = open_images(SHARED / "clothing")
    assert len(splits.classes) == 10
    assert "t-shirt" in splits.classes
    assert len(splits.train) + len(splits.val) + 245 == 1687
    assert splits.skipped == ()


def test_labels_without_a_single_sample_give_no_classes():
    nothing = Part("photos/train", Listed((), ()), Labels((), np.empty(0, np.int64)))
    with pytest.raises(ClassesError, match="photos/train"):
        choose_classes(nothing)
