"""Corrections: decisions of a CSV on samples, which the data is trained with and does not change by."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import Zoo, zoo_cli
from tests.opened import open_data
from zoo.data.corrections import read_corrections
from zoo.errors import ClassesError, DataError, RunError
from zoo.modalities import IMAGE, TEXT
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import tasks_for
from zoo.training.record import require_same_data

__all__ = ["zoo_cli"]


def images(root: Path, files: str) -> Path:
    draw = np.random.default_rng(0)
    for name in files.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / name)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    train = "train/cat/1.png train/cat/2.png train/cat/é,3.png train/dog/1.png train/dog/2.png"
    return images(tmp_path / "photos", f"{train} val/cat/4.png val/dog/4.png test/dog/5.png")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [f'"text {i}",{("good", "bad")[i % 2]}' for i in range(10)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path / "reviews.csv"


def written(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "corrections.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return str(path)


def labels_of(samples: Any, classes: tuple[str, ...]) -> dict[str, str]:
    return {
        "/".join(Path(samples.input(i)).parts[-2:]): classes[samples.labels[i]]
        for i in range(len(samples))
    }


def test_files_are_relabelled_and_dropped_by_their_paths(tmp_path: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*.png")}
    (photos / "train/cat/2.png").write_bytes(b"damaged")  # dropped, so it need not be readable
    file = written(
        tmp_path,
        "file,split,label,suggested,decision,new_label",
        "train/cat/1.png,train,cat,dog,relabel,",
        "train/cat/2.png,train,cat,dog,drop,",
        '"train/cat/é,3.png",train,cat,dog,keep,',
        f"{photos}/val/dog/4.png,val,dog,,relabel,cat",
        "val/cat/4.png,val,cat,dog,,",  # undecided
        "test/dog/5.png,test,dog,cat,relabel,cat",
    )
    splits = open_data(photos, kind=IMAGE, corrections=file)
    assert labels_of(splits.train, splits.classes) == {
        "cat/1.png": "dog",
        "cat/é,3.png": "cat",
        "dog/1.png": "dog",
        "dog/2.png": "dog",
    }
    assert splits.val is not None
    assert labels_of(splits.val, splits.classes) == {"cat/4.png": "cat", "dog/4.png": "cat"}
    found = splits.corrections
    assert found is not None
    assert found.sha256 == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert found.in_words() in splits.notes
    assert found.in_words() == (
        f"{file}: 2 relabelled, 1 dropped, 1 kept, 1 on splits that are not read"
    )
    images(photos, "train/cat/2.png")
    assert open_data(photos, kind=IMAGE).fingerprint != splits.fingerprint
    assert before.keys() == set(photos.rglob("*.png"))


def test_rows_are_found_by_their_number_and_a_semicolon_separates_too(
    tmp_path: Path, reviews: Path
) -> None:
    file = written(tmp_path, "row;decision;new_label", "1;relabel;bad", "10;Drop;", "10;drop;")
    splits = open_data(reviews, kind=TEXT, corrections=file, val_split=0.2)
    assert splits.val is not None
    both = [(s.raw(i), splits.classes[s.labels[i]]) for s in (splits.train, splits.val)
            if s.labels is not None for i in range(len(s))]  # fmt: skip
    assert len(both) == 9
    assert dict(both)["text 0"] == "bad"
    assert "text 9" not in dict(both)


def test_several_labels_and_numbers_are_relabelled(tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.csv"
    cells = ["a", "a;b", "c", "b;c", "", "a", "c", "b"]
    tagged.write_text("text,labels\n" + "\n".join(f"t{i},{cell}" for i, cell in enumerate(cells)))
    file = written(
        tmp_path, "row,label,decision,new_label", '2,"[""b"", ""a""]",relabel,c;a', "3,c,relabel,[]"
    )
    splits = open_data(tagged, kind=TEXT, corrections=file, task="multi-label", bad_files="skip")
    rows = {s.raw(i): s.labels[i].tolist() for s in (splits.train, splits.val)
            if s is not None and s.labels is not None for i in range(len(s))}  # fmt: skip
    assert (rows["t1"], rows["t2"]) == ([1, 0, 1], [0, 0, 0])
    rated = tmp_path / "rated.csv"
    rated.write_text("text,score\n" + "\n".join(f"t{i},{i}.1" for i in range(9)))
    file = written(tmp_path, "row,label,decision,new_label", "3,2.1,relabel,7.5")
    splits = open_data(rated, kind=TEXT, corrections=file, task="regression")
    values = {s.raw(i): float(s.labels[i, 0]) for s in (splits.train, splits.val)
              if s is not None and s.labels is not None for i in range(len(s))}  # fmt: skip
    assert values["t2"] == 7.5


HEADER = "file,label,decision,new_label"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((HEADER, "train/cat/7.png,cat,drop,"), r"line 2: .*has no file 'train/cat/7.png'. Did"),
        (("row,decision", "1,drop"), r"has no row '1'. Its samples are named by a column 'file'"),
        ((HEADER, "train/cat/1.png,cat,relabel,"), "no label to relabel 'train/cat/1.png' to"),
        ((HEADER, "train/cat/1.png,cat,remove,"), "must be keep, relabel or drop, got 'remove'"),
        ((HEADER, "train/cat/1.png,dog,drop,"), "on the label 'dog', and .*has another one"),
        ((HEADER, "train/cat/1.png,cat,,"), "has no decisions"),
        ((HEADER,), "has no decisions"),
        (("file,decisions", "train/cat/1.png,drop"), "has no column 'decision'"),
        (("path,decision", "train/cat/1.png,drop"), "has no column 'file' or 'row'"),
        ((HEADER, f'"train/cat/{"1" * 200_000}.png",,drop,'), "is not a valid CSV file"),
        (
            (HEADER, "train/cat/1.png,,drop,", "train/cat/../cat/1.png,,keep,"),
            "lines 2 and 3 contradict each other: drop and keep",
        ),
        (
            (HEADER, "train/dog/1.png,,drop,", "train/dog/2.png,,drop,"),
            "no sample of class 'dog' of .*train is left",
        ),
        ((HEADER, "val/dog/4.png,,drop,", "val/cat/4.png,,drop,"), "no sample of .*val is left"),
    ],
)
def test_corrections_that_do_not_fit_are_refused(
    tmp_path: Path, photos: Path, lines: tuple[str, ...], says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        open_data(photos, kind=IMAGE, corrections=written(tmp_path, *lines))
    assert caught.value.hint


def test_an_unknown_class_or_number_is_refused(tmp_path: Path, photos: Path, reviews: Path) -> None:
    file = written(tmp_path, HEADER, "train/cat/1.png,cat,relabel,dgo")
    with pytest.raises(ClassesError, match=r"no class 'dgo'. Did you mean 'dog'"):
        open_data(photos, kind=IMAGE, corrections=file)
    rated = tmp_path / "rated.csv"
    rated.write_text("text,score\n" + "\n".join(f"t{i},{i}" for i in range(9)))
    file = written(tmp_path, "row,decision,new_label", "3,relabel,high")
    with pytest.raises(DataError, match="line 2: 'high' is not a label of"):
        open_data(rated, kind=TEXT, corrections=file, task="regression")


def test_a_row_of_several_tables_needs_its_split(tmp_path: Path, reviews: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in ("train", "val"):
        (folder / f"{name}.csv").write_text(reviews.read_text())
    file = written(tmp_path, "row,decision", "1,drop")
    with pytest.raises(DataError, match="row 1 is in several splits: train, val"):
        open_data(folder, kind=TEXT, corrections=file)
    file = written(tmp_path, "row,split,decision", "1,val,drop")
    splits = open_data(folder, kind=TEXT, corrections=file)
    assert splits.val is not None
    assert (len(splits.train), len(splits.val)) == (10, 9)
    with pytest.raises(DataError, match="has no row '11' of val"):
        open_data(
            folder, kind=TEXT, corrections=written(tmp_path, "row,split,decision", "11,val,drop")
        )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.csv cannot be read: No such file"):
        read_corrections(str(tmp_path / "absent.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"file,decision\n\xff,drop\n")
    with pytest.raises(DataError, match="not valid UTF-8"):
        read_corrections(str(tmp_path / "bytes.csv"))


def test_a_run_records_the_corrections_and_resuming_needs_the_same(
    tmp_path: Path, zoo_cli: Zoo, reviews: Path
) -> None:
    file = written(tmp_path, "row,label,decision,new_label", "1,good,relabel,bad", "4,bad,drop,")
    command = ("finetune", "lstm", "--data", reviews, "--corrections", file, "--epochs", "1")
    ended = zoo_cli(*command, "--no-report", "--output", tmp_path / "run")
    assert "corrections.csv: 1 relabelled, 1 dropped, 0 kept" in ended.err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    found = record["data"]["corrections"]
    assert found["sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert (found["relabelled"], found["dropped"]) == (1, 1)
    assert Request.from_json(record["request"]).corrections == file
    assert record["data"]["train"] + record["data"]["val"] == 9
    zoo_cli("rerun", tmp_path / "run", "--output", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "run.json").read_text())
    assert again["sha256"] == record["sha256"]
    other = {**record["data"], "fingerprint": "?", "corrections": {**found, "sha256": "?"}}
    with pytest.raises(RunError, match=r"the corrections of .* have changed"):
        require_same_data(tmp_path, record, {"data": other})


def test_folds_are_of_the_corrected_samples(tmp_path: Path, reviews: Path) -> None:
    file = written(tmp_path, "row,decision,new_label", "1,relabel,bad", "4,drop,")
    request = Request(backbone="lstm", data=str(reviews), corrections=file, folds=2, fold=1)
    fold = open_requested(request, TEXT, tasks_for("auto"))
    assert fold.pool is not None
    whole = fold.pool.samples
    assert whole.labels is not None
    assert {whole.raw(i): fold.classes[whole.labels[i]] for i in range(len(whole))} == {
        f"text {i}": "bad" if i % 2 or i == 0 else "good" for i in range(10) if i != 3
    }
    assert fold.corrections is not None
