"""Labels as zeros and ones are the labels that they stand for, in columns and in vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.opened import open_data
from zoo.data.samples import Splits
from zoo.errors import BadFilesError, DataError
from zoo.modalities import TEXT

NAMES = ("toxic", "rude", "threat")
FLAGS = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]] * 4
ONE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 8


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


def _columns(path: Path, flags: list[list[Any]], header: str = "id,comment_text,") -> Path:
    rows = [f"{i},text {i}," + ",".join(map(str, each)) for i, each in enumerate(flags)]
    path.write_text("\n".join([header + ",".join(NAMES), *rows]) + "\n")
    return path


def _vectors(path: Path, vectors: list[Any]) -> Path:
    texts = [f"text {i}" for i in range(len(vectors))]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": texts, "labels": vectors}), path)
    elif path.suffix == ".jsonl":
        rows = zip(texts, vectors, strict=True)
        path.write_text("".join(json.dumps({"text": t, "labels": v}) + "\n" for t, v in rows))
    else:
        rows = zip(texts, vectors, strict=True)
        path.write_text("text,labels\n" + "".join(f'{t},"{v}"\n' for t, v in rows))
    return path


def _open(path: Path, **options: Any) -> Splits:
    return open_data(path, kind=TEXT, **options)


def _labels(splits: Splits) -> list[Any]:
    """Of all samples, in the order of the table."""
    assert splits.val is not None
    found = {}
    for samples in (splits.train, splits.val):
        assert samples.labels is not None
        for i in range(len(samples)):
            found[int(str(samples.raw(i)).split()[1])] = samples.labels[i].tolist()
    return [found[i] for i in sorted(found)]


@pytest.mark.parametrize("write", [str, float, bool, lambda f: "yes" if f else "no"])
def test_a_column_for_each_label_is_read_as_several_labels(tmp_path: Path, write: Any) -> None:
    path = _columns(tmp_path / "x.csv", [[write(f) for f in each] for each in FLAGS])
    splits = _open(path, label_column=NAMES)
    assert (splits.task, splits.classes) == ("multi-label", NAMES)
    assert _labels(splits) == FLAGS
    assert "the labels are in 3 columns of zeros and ones" in splits.notes[0]
    assert splits.label_columns == NAMES


def test_one_hot_columns_are_one_class_a_row_unless_several_are_meant(tmp_path: Path) -> None:
    path = _columns(tmp_path / "x.csv", ONE)
    splits = _open(path, label_column=NAMES)
    assert (splits.task, splits.classes) == ("single-label", NAMES)
    assert _labels(splits) == [each.index(1) for each in ONE]
    assert "3 columns" in splits.notes[0]
    assert "--task multi-label" in splits.notes[0]
    several = _open(path, label_column=NAMES, task="multi-label")
    assert (several.task, _labels(several)) == ("multi-label", ONE)


def test_rows_with_other_than_one_class_are_named_where_one_is_demanded(tmp_path: Path) -> None:
    path = _columns(tmp_path / "x.csv", [*ONE, [1, 1, 0], [0, 0, 0], ["", 1, 0]])
    with pytest.raises(BadFilesError, match="3 inputs cannot be used") as caught:
        _open(path, label_column=NAMES, task="single-label")
    assert [Path(each).name for each in caught.value.paths] == [
        f"x.csv row {i}" for i in (25, 26, 27)
    ]
    assert "2 of 3 labels" in str(caught.value)
    assert "column 'toxic'" in str(caught.value)
    skipped = _open(path, label_column=NAMES, task="single-label", bad_files="skip")
    assert _labels(skipped) == [each.index(1) for each in ONE]


def test_a_column_of_something_else_is_named_and_not_trained_on(tmp_path: Path) -> None:
    path = _columns(tmp_path / "x.csv", [*FLAGS, [0, -1, 1]])
    with pytest.raises(DataError, match=r"'rude'.*'-1'.*25") as caught:
        _open(path, label_column=NAMES)
    assert "--task regression" in caught.value.hint


def test_a_table_with_a_column_for_each_label_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column of labels") as caught:
        _open(_columns(tmp_path / "x.csv", FLAGS))
    assert "--label-column toxic --label-column rude --label-column threat" in caught.value.hint
    assert "regression" not in caught.value.hint


def test_an_evaluation_reads_the_columns_that_training_read(tmp_path: Path) -> None:
    path = _columns(tmp_path / "x.csv", FLAGS)
    known = {"need": "evaluate", "known_classes": NAMES, "task": "multi-label"}
    assert _open(path, label_column=NAMES, **known).task == "multi-label"
    assert _labels(_open(path, label_column=NAMES[::-1], **known)) == FLAGS


def test_a_label_that_no_row_has_is_reported(tmp_path: Path) -> None:
    path = _columns(tmp_path / "x.csv", [[a, b, 0] for a, b, _ in FLAGS])
    splits = _open(path, label_column=NAMES)
    assert splits.classes == ("toxic", "rude")
    assert splits.notes[0].endswith("; no row has 'threat'")


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(s, k) for s in (".parquet", ".jsonl", ".csv") for k in (int, float, bool)][:-1],
)
def test_vectors_of_zeros_and_ones_are_a_class_for_each_place(
    tmp_path: Path, suffix: str, kind: type
) -> None:
    given = [[kind(f) for f in each] for each in FLAGS]
    splits = _open(_vectors(tmp_path / f"x{suffix}", given))
    assert (splits.task, splits.classes) == ("multi-label", ("0", "1", "2"))
    assert _labels(splits) == FLAGS
    assert "vectors of 3 zeros and ones" in splits.notes[0]


def test_vectors_as_numpy_prints_them_are_read(tmp_path: Path) -> None:
    given = ["[" + " ".join(f"{f}." for f in each) + "]" for each in FLAGS]
    assert _labels(_open(_vectors(tmp_path / "x.csv", given))) == FLAGS


def test_one_hot_vectors_of_two_floats_are_vectors(tmp_path: Path) -> None:
    given = [[1.0, 0.0], [0.0, 1.0]] * 6
    assert _labels(_open(_vectors(tmp_path / "x.parquet", given))) == given


@pytest.mark.parametrize(
    "lists", [[[0], [1, 2], [], [0, 2]] * 6, [[0, 1], [1, 0]] * 6, [[3, 5], [5, 7], [3, 7]] * 6]
)
def test_lists_of_the_numbers_of_classes_stay_such(tmp_path: Path, lists: list[list[int]]) -> None:
    splits = _open(_vectors(tmp_path / "x.jsonl", lists))
    names = sorted({str(i) for each in lists for i in each})
    assert splits.classes == tuple(names)
    assert _labels(splits) == [[float(int(n) in each) for n in names] for each in lists]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_probabilities_instead_of_labels_are_refused(tmp_path: Path, suffix: str) -> None:
    path = _vectors(tmp_path / f"x{suffix}", [[0.2, 0.8], [0.9, 0.1]] * 6)
    with pytest.raises(DataError, match=r"column 'labels' .* vectors of 0 and 1"):
        _open(path)


def test_a_row_without_a_vector_is_named(tmp_path: Path) -> None:
    path = _vectors(tmp_path / "x.parquet", [*FLAGS, None])
    with pytest.raises(BadFilesError, match=r"25.*'labels'"):
        _open(path)
