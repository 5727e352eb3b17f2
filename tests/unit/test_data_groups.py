"""Groups, such as patients: no split divides one, and those that given splits share are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.opened import open_data
from zoo.data.folds import held_out, merged
from zoo.data.group_source import GroupSource
from zoo.data.groups import group_split, parts_of
from zoo.data.samples import Splits
from zoo.errors import BadFilesError, DataError, UsageError
from zoo.modalities import IMAGE, TEXT
from zoo.tasks import tasks_for
from zoo.training.summary import leakage_in_words


def table(path: Path, patients: list[str], labels: list[str] | None = None) -> Path:
    rows = [
        f"{path.stem} text {i} of {patient or 'nobody'},{label},{patient}"
        for i, (patient, label) in enumerate(
            zip(patients, labels or ["a", "b"] * len(patients), strict=False)
        )
    ]
    path.write_text("\n".join(["text,label,patient", *rows]) + "\n")
    return path


def images(folder: Path, files: dict[str, str]) -> Path:
    """A folder of images: class by path."""
    draw = np.random.default_rng(0)
    for path, label in files.items():
        target = folder / label / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(target)
    return folder


def groups_of(splits: Any) -> tuple[set[str], set[str]]:
    return set(splits.train.groups.tolist()), set(splits.val.groups.tolist())


BY_PATIENT = GroupSource("patient")


def test_a_split_divides_no_group_and_has_the_share(tmp_path: Path) -> None:
    data = table(tmp_path / "r.csv", [f"p{i // 6}" for i in range(120)])
    splits = open_data(data, kind=TEXT, groups=BY_PATIENT)
    train, val = groups_of(splits)
    assert splits.val is not None
    assert not train & val
    assert (len(train), len(val), len(splits.val)) == (16, 4, 24)
    alone = open_data(data, kind=TEXT)
    assert alone.val is not None
    assert alone.val.groups is None


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 0.7])
def test_the_share_is_kept_and_a_class_of_one_group_stays_in_training(share: float) -> None:
    groups = np.array([f"g{i // 5}" for i in range(200)])
    strata = np.arange(200) % 3
    strata[groups == "g7"] = 3  # in one group only
    for seed in range(5):
        train, val = group_split(strata, groups, share, seed)
        assert len(train) + len(val) == 200
        assert not set(groups[train]) & set(groups[val])
        assert 3 not in strata[val]
        assert abs(len(val) / 200 - share) < 0.06


def test_parts_without_strata_are_of_one_size() -> None:
    groups = np.array([f"g{i // 4}" for i in range(40)])
    parts = parts_of(None, groups, 5, 0, len(groups))
    assert [len(set(groups[part])) for part in parts] == [2] * 5
    assert sorted(np.concatenate(parts)) == list(range(40))


def test_given_splits_that_share_groups_are_reported(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["p1", "p1", "p2", "p3", "p3", "p4"])
    table(tmp_path / "val.csv", ["p5", "p4"])
    table(tmp_path / "test.csv", ["p1", "p6"])
    splits = open_data(tmp_path, kind=TEXT, groups=BY_PATIENT)
    assert splits.shared_groups == ("p1", "p4")
    words = leakage_in_words(splits)
    assert words == (
        "2 groups are in training and in validation or test (p1, p4); metrics will look too good: "
        "use --dedupe to train without them"
    )
    fewer = open_data(tmp_path, kind=TEXT, groups=BY_PATIENT, dedupe=True)
    assert groups_of(fewer)[0] == {"p2", "p3"}
    assert fewer.removed == 3


def test_groups_of_files_are_in_their_paths_or_in_a_table(tmp_path: Path) -> None:
    names = {f"{label}/p{i % 4}_{i}.png": label for label in ("cat", "dog") for i in range(8)}
    data = images(tmp_path / "photos", {Path(path).name: "cat" for path in names})
    images(data, {Path(path).name: "dog" for path in names})
    by_path = open_data(data, kind=IMAGE, groups=GroupSource(pattern=r"(p\d)_"))
    train, val = groups_of(by_path)
    assert (train | val, train & val) == ({"p0", "p1", "p2", "p3"}, set())
    listed = tmp_path / "patients.csv"
    listed.write_text(
        "\n".join(["file,who", *(f"{path},{path.split('/')[1][:2]}" for path in names)])
    )
    by_table = open_data(data, kind=IMAGE, groups=GroupSource("who", table=str(listed)))
    assert groups_of(by_table) == (train, val)
    listed.write_text("\n".join(["file,who", *(f"{path},p" for path in list(names)[1:])]))
    with pytest.raises(BadFilesError, match=r"p0_0.png: its path is not in .*patients.csv"):
        open_data(data, kind=IMAGE, groups=GroupSource("who", table=str(listed)))


def test_samples_without_a_group_are_named_or_left_out(tmp_path: Path) -> None:
    data = table(tmp_path / "r.csv", ["1", "2", "3", "", "4", "1", "2", "3"])
    with pytest.raises(BadFilesError, match="row 4: nothing in column 'patient'"):
        open_data(data, kind=TEXT, groups=BY_PATIENT)
    splits = open_data(data, kind=TEXT, groups=BY_PATIENT, bad_files="skip")
    train, val = groups_of(splits)
    assert train | val == {"1", "2", "3", "4"}


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (GroupSource("patients"), "no column 'patients'.*Did you mean 'patient'"),
        (GroupSource("same"), "all 6 samples are in one group, 'x'"),
        (GroupSource("patient", table="absent.csv"), "no file absent.csv"),
        (GroupSource(table="only.csv"), "only.csv has no column of paths"),
        (GroupSource(pattern="p"), "has no parentheses"),
        (GroupSource(pattern="(p"), "not a valid regular expression"),
        (GroupSource("patient", pattern="(p)"), "does not work with"),
        (GroupSource(pattern="(p)"), "paths of files"),
    ],
)
def test_groups_that_cannot_be_found_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: GroupSource, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("only.csv").write_text("group\n1\n")
    rows = [f"text {i},{'ab'[i % 2]},p{i},x" for i in range(6)]
    Path("r.csv").write_text("\n".join(["text,label,patient,same", *rows]))
    with pytest.raises((DataError, UsageError), match=says):
        open_data("r.csv", kind=TEXT, groups=groups)


def test_a_folder_has_no_column(tmp_path: Path) -> None:
    data = images(tmp_path, {"1.png": "cat", "2.png": "cat"})
    images(data, {"1.png": "dog", "2.png": "dog"})
    with pytest.raises(UsageError, match=r"patient.* is for tables"):
        open_data(data, kind=IMAGE, groups=BY_PATIENT)


def folds_with(splits: Splits, task: Any, count: int) -> list[set[int]]:
    whole = merged(splits, task, count)
    return [set(part.tolist()) for part in held_out(whole, task, count=count, seed=0)]


def test_duplicates_and_near_duplicates_are_in_one_fold(tmp_path: Path) -> None:
    texts = [f"film number {i}" for i in range(24)]
    texts[20:] = ["Film  NUMBER 0", "film, number 1!", "film: number (1)", "film number 2."]
    rows = [f'"{text}",{i % 2}' for i, text in enumerate(texts)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    splits = open_data(tmp_path / "data.csv", kind=TEXT, need="folds")
    assert splits.near == ()  # nothing is held out for good
    task = next(each for each in tasks_for("auto") if each.name == splits.task)
    whole = merged(splits, task, 4)
    assert whole.notes[-1] == (
        "7 texts are duplicates or near-duplicates, in 3 sets: the texts of a set are in one fold"
    )
    parts = folds_with(splits, task, 4)
    assert sorted(i for part in parts for i in part) == list(range(24))
    for together in ({0, 20}, {1, 21, 22}, {2, 23}):
        assert any(together <= part for part in parts)
    assert max(map(len, parts)) <= 8


def test_a_set_larger_than_a_fold_is_divided_and_that_is_said(tmp_path: Path) -> None:
    texts = ["the same"] * 12 + [f"film number {i}" for i in range(12)]
    rows = [f'"{text}",{i % 2}' for i, text in enumerate(texts)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    splits = open_data(tmp_path / "data.csv", kind=TEXT, need="folds")
    task = next(each for each in tasks_for("auto") if each.name == splits.task)
    whole = merged(splits, task, 3)
    assert "12 texts that are all alike are more than a fold has" in whole.notes[-1]
    assert {len(part) for part in folds_with(splits, task, 3)} == {8}


def test_a_group_and_its_duplicates_elsewhere_are_in_one_fold(tmp_path: Path) -> None:
    rows = [f"film number {i},{i % 2},g{i // 2}" for i in range(24)]
    rows[-1] = "film number 0!,1,g11"
    (tmp_path / "data.csv").write_text("\n".join(["text,label,patient", *rows]) + "\n")
    splits = open_data(tmp_path / "data.csv", kind=TEXT, need="folds", groups=BY_PATIENT)
    task = next(each for each in tasks_for("auto") if each.name == splits.task)
    assert any({0, 1, 22, 23} <= part for part in folds_with(splits, task, 4))


@pytest.mark.parametrize(
    "source",
    [GroupSource(pattern=r"zzz(\d+)"), GroupSource(table="{root}/groups.csv")],
    ids=["a pattern that matches nothing", "a table of other files"],
)
def test_where_no_sample_has_a_group_the_option_is_named(
    source: GroupSource, tmp_path: Path
) -> None:
    data = images(tmp_path / "data", {"p1_a.png": "cat", "p2_a.png": "dog"})
    (tmp_path / "groups.csv").write_text("path,group\nother/x.png,1\n")
    table = source.table and source.table.format(root=tmp_path)
    source = GroupSource(pattern=source.pattern, table=table)
    for bad_files in ("error", "skip"):
        with pytest.raises(DataError, match="none of the 2 images has a group"):
            open_data(data, kind=IMAGE, groups=source, bad_files=bad_files)


def test_classes_that_not_every_fold_has_are_named(tmp_path: Path) -> None:
    rows = [f"film number {i},{'rare' if i < 3 else 'often'}" for i in range(30)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    splits = open_data(tmp_path / "data.csv", kind=TEXT, need="folds")
    task = next(each for each in tasks_for("auto") if each.name == splits.task)
    assert merged(splits, task, 10).notes[-1].endswith("which not every fold has: 'rare' 3")
    assert merged(splits, task, 3).notes == ()
