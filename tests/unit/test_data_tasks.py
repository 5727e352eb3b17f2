"""Several labels, numbers, and pairs of texts: from tables to samples, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.opened import open_data
from tests.unit.test_data_tables import write
from zoo.data import dataset
from zoo.data.cells import split_cell
from zoo.data.inputs import open_inputs
from zoo.data.splitting import random_split
from zoo.errors import BadFilesError, ClassesError, DataError, NameLookupError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.text.contents import texts_of
from zoo.tasks.single_label import SingleLabel


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


TAGS = [["a"], ["b", "a"], [], ["c"], ["b"], ["a", "b", "c"], ["c", "a"], [], ["b"], ["a"]]


def tagged(suffix: str = ".csv", separator: str = "|") -> list[tuple[str, object]]:
    plain = suffix in (".csv", ".tsv")
    return [(f"text {i}", separator.join(t) if plain else t) for i, t in enumerate(TAGS)]


def open_texts(path: Path, **options: object):
    return open_data(path, kind=TEXT, **options)  # type: ignore[arg-type]


def everything(splits) -> dict[object, object]:
    """All labels of ``train`` and ``val``, by input."""
    return {
        samples.raw(i): samples.labels[i].tolist()
        for samples in (splits.train, splits.val)
        for i in range(len(samples))
    }


# -- several labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_several_labels_are_read_from_every_format(tmp_path, suffix):
    splits = open_texts(write(tmp_path / f"x{suffix}", tagged(suffix), ("text", "labels")))
    assert (splits.task, splits.classes) == ("multi-label", ("a", "b", "c"))
    assert splits.train.labels.dtype == np.float32
    wanted = {f"text {i}": [float(c in tags) for c in "abc"] for i, tags in enumerate(TAGS)}
    assert everything(splits) == wanted


def test_formats_of_several_labels_agree_on_the_fingerprint(tmp_path):
    prints = {
        open_texts(write(tmp_path / f"x{s}", tagged(s), ("text", "labels"))).fingerprint
        for s in (".csv", ".jsonl", ".parquet")
    }
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("", []),
        ("  ", []),
        ("red", ["red"]),
        ("red, round", ["red", "round"]),
        ("red;round|big", ["red", "round", "big"]),
        ("red,,red, ", ["red"]),
        ('["red, dark", "round"]', ["red, dark", "round"]),
        ("[]", []),
        ("[1, 2]", ["1", "2"]),
        ("[red, round", ["[red", "round"]),
    ],
)
def test_how_a_cell_is_split(cell, labels):
    assert split_cell(cell) == labels


def test_only_a_column_called_labels_is_split_unasked(tmp_path):
    rows = [(f"t{i}", ("a, b", "c")[i % 2]) for i in range(8)]
    several = open_texts(write(tmp_path / "x.csv", rows, ("text", "labels")))
    assert (several.task, several.classes) == ("multi-label", ("a", "b", "c"))
    single = open_texts(write(tmp_path / "y.csv", rows, ("text", "category")))
    assert (single.task, single.classes) == ("single-label", ("a, b", "c"))
    asked = open_texts(tmp_path / "y.csv", task="multi-label")
    assert asked.classes == ("a", "b", "c")
    kept = open_texts(tmp_path / "x.csv", task="single-label")
    assert kept.classes == ("a, b", "c")


def test_the_training_split_decides_what_the_others_are(tmp_path):
    write(tmp_path / "train.csv", tagged(), ("text", "labels"))
    write(tmp_path / "val.csv", [("v1", "a"), ("v2", "")], ("text", "labels"))
    splits = open_texts(tmp_path)
    assert splits.val.labels.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_numbers_as_names_of_several_classes_agree_between_files(tmp_path):
    write(tmp_path / "train.jsonl", [(f"t{i}", [i % 3, 3]) for i in range(6)], ("text", "labels"))
    write(tmp_path / "val.jsonl", [("v", [1.0, 2.0])], ("text", "labels"))
    splits = open_texts(tmp_path)
    assert splits.classes == ("0", "1", "2", "3")
    assert splits.val.labels.tolist() == [[0, 1, 1, 0]]


def test_the_publisher_s_names_of_several_classes_are_kept(tmp_path):
    import datasets

    names = datasets.ClassLabel(names=["zebra", "ant", "never"])
    features = datasets.Features(text=datasets.Value("string"), labels=datasets.List(names))
    data = {"text": [f"t{i}" for i in range(6)], "labels": [[0], [1], [0, 1], [], [1], [0]]}
    path = tmp_path / "x.parquet"
    datasets.Dataset.from_dict(data, features=features).to_parquet(path)
    splits = open_texts(path)
    assert splits.classes == ("zebra", "ant"), "the publisher's order, without the unused name"
    assert everything(splits)["t2"] == [1.0, 1.0]


def test_an_empty_list_has_no_label_and_null_is_missing(tmp_path):
    rows = [*tagged(".jsonl"), ("lost", None)]
    path = write(tmp_path / "x.jsonl", rows, ("text", "labels"))
    with pytest.raises(BadFilesError, match=r"11.*'labels'"):
        open_texts(path)
    assert "lost" not in everything(open_texts(path, bad_files="skip"))


def test_every_class_keeps_a_training_sample(tmp_path):
    rows = [(f"t{i}", "often") for i in range(30)] + [(f"r{i}", f"rare{i};often") for i in range(8)]
    path = write(tmp_path / "x.csv", rows, ("text", "labels"))
    for seed in range(5):
        splits = open_texts(path, seed=seed, val_split=0.5)
        assert splits.train.labels.any(axis=0).all()
        assert len(splits.val) > 5


def test_the_random_split_depends_on_the_seed_alone():
    labels = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    first, again, other = (
        random_split(labels, 0.25, seed, keep_classes=True) for seed in (1, 1, 2)
    )
    assert [side.tolist() for side in first] == [side.tolist() for side in again]
    assert first[1].tolist() != other[1].tolist()
    assert (len(first[0]), len(first[1])) == (30, 10)
    assert sorted([*first[0], *first[1]]) == list(range(40))


def test_one_tag_that_a_sample_has_or_not_is_enough(tmp_path):
    rows = [(f"t{i}", ("spam", "")[i % 2]) for i in range(8)]
    path = write(tmp_path / "x.csv", rows, ("text", "labels"))
    assert open_texts(path, task="multi-label").classes == ("spam",)


def test_a_label_in_validation_that_training_lacks_is_named(tmp_path):
    write(tmp_path / "train.csv", tagged(), ("text", "labels"))
    write(tmp_path / "val.csv", [("v", "a|z")], ("text", "labels"))
    with pytest.raises(ClassesError, match=r"val\.csv.*'z'"):
        open_texts(tmp_path)


def test_the_number_of_several_classes_is_checked(tmp_path):
    path = write(tmp_path / "x.csv", tagged(), ("text", "labels"))
    with pytest.raises(ClassesError, match=r"classes.*4.*3"):
        open_texts(path, classes=4)


def test_no_label_anywhere_is_no_data_set(tmp_path):
    path = write(tmp_path / "x.csv", [("a", ""), ("b", "")], ("text", "labels"))
    with pytest.raises(DataError, match="has no labels"):
        open_texts(path, task="multi-label")


def test_lists_are_refused_where_one_label_is_wanted(tmp_path):
    path = write(tmp_path / "x.jsonl", tagged(".jsonl"), ("text", "label"))
    with pytest.raises(DataError, match=r"holds list<.*, not one label per row") as error:
        open_texts(path, task="single-label")
    assert "--task multi-label" in error.value.hint
    mixed = write(tmp_path / "y.jsonl", [("a", "x"), ("b", ["x", "y"])], ("text", "label"))
    with pytest.raises(DataError, match="holds lists, not one label per row"):
        open_texts(mixed, task="single-label")
    assert open_texts(mixed, val_split=0.4).task == "multi-label"


def test_an_evaluation_reads_several_labels_as_the_run_does(tmp_path):
    path = write(tmp_path / "test.csv", [("t", "a"), ("u", "")], ("text", "labels"))
    splits = open_texts(
        path, need="evaluate", known_classes=("a", "b"), task="multi-label", val_split=0.5
    )
    assert splits.to_evaluate(trained_on="")["all"].labels.tolist() == [[1, 0], [0, 0]]


def test_images_with_several_labels(tmp_path):
    for i in range(10):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [(f"{i}.png", "|".join(tags)) for i, tags in enumerate(TAGS)]
    path = write(tmp_path / "x.csv", rows, ("file_name", "labels"))
    for source in (path, tmp_path):
        splits = open_data(source, kind=IMAGE)
        assert splits.task == "multi-label"
        assert everything(splits)[str(tmp_path / "5.png")] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_class_folders_have_one_class_each(tmp_path, task):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / "1.png")
    with pytest.raises(DataError, match=f"{task}") as error:
        open_data(tmp_path / "photos", kind=IMAGE, task=task)
    assert "table" in error.value.hint


# -- numbers -----------------------------------------------------------------------------------


def numbers(path: Path, count: int = 20) -> Path:
    rows = [(f"t{i}", 1.5 * i, -i) for i in range(count)]
    return write(path, rows, ("text", "price", "weight"))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_numbers_are_read_from_every_format(tmp_path, suffix):
    path = numbers(tmp_path / f"x.{suffix}")
    splits = open_texts(path, task="regression", label_column=["weight", "price"])
    assert (splits.task, splits.classes) == ("regression", ("weight", "price"))
    assert splits.train.labels.dtype == np.float32
    assert (len(splits.train), len(splits.val)) == (16, 4)
    assert everything(splits) == {f"t{i}": [-i, 1.5 * i] for i in range(20)}


def test_a_usual_column_of_numbers_is_found(tmp_path):
    path = write(tmp_path / "x.csv", [(f"t{i}", i / 7) for i in range(8)], ("text", "score"))
    assert open_texts(path, task="regression").classes == ("score",)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "no number in column 'price'"),
        ("abc", "'abc' in column 'price' is not a number"),
        ("1,5", "'1,5' in column 'price' is not a number"),
        ("nan", "'nan' in column 'price' is not a number"),
        ("inf", "'inf' in column 'price' is not finite"),
        ("1e60", "'1e60' in column 'price' is not finite, or too large"),
    ],
)
def test_what_is_not_a_number_is_reported_by_row(tmp_path, cell, reason):
    rows = [*[(f"t{i}", str(i)) for i in range(9)], ("bad", cell)]
    path = write(tmp_path / "x.csv", rows, ("text", "price"))
    with pytest.raises(BadFilesError, match=r"x\.csv row 10: " + reason):
        open_texts(path, task="regression", label_column="price")
    splits = open_texts(path, task="regression", label_column="price", bad_files="skip")
    assert np.isfinite(splits.train.labels).all()
    assert "bad" not in everything(splits)
    assert len(splits.skipped) == 1


def test_missing_numbers_of_typed_formats_are_reported_by_row(tmp_path):
    rows = [*[(f"t{i}", float(i)) for i in range(9)], ("null", None), ("nan", float("nan"))]
    for suffix in ("jsonl", "parquet"):
        path = write(tmp_path / f"x.{suffix}", rows, ("text", "price"))
        with pytest.raises(BadFilesError, match=r"10.*11"):
            open_texts(path, task="regression", label_column="price")


def test_a_column_of_words_holds_no_numbers(tmp_path):
    rows = [(f"t{i}", ("good", "bad")[i % 2]) for i in range(8)]
    with pytest.raises(DataError, match=r"'label'.*'good'.*'bad'"):
        open_texts(write(tmp_path / "x.csv", rows), task="regression")


def test_lists_are_no_numbers(tmp_path):
    path = write(tmp_path / "x.jsonl", [("a", [1, 2]), ("b", [3, 4])], ("text", "label"))
    with pytest.raises(DataError, match="not one number per row"):
        open_texts(path, task="regression")


def test_the_same_number_everywhere_teaches_nothing(tmp_path):
    rows = [(f"t{i}", i, 3) for i in range(9)]
    path = write(tmp_path / "x.csv", rows, ("text", "a", "b"))
    with pytest.raises(DataError, match=r"'b'.*3"):
        open_texts(path, task="regression", label_column=("a", "b"))


def test_one_sample_leaves_nothing_to_validate_on(tmp_path):
    path = write(tmp_path / "x.csv", [("t", 1)], ("text", "label"))
    with pytest.raises(DataError, match="too few samples"):
        open_texts(path, task="regression")


def test_no_column_of_numbers(tmp_path):
    path = numbers(tmp_path / "x.csv")
    with pytest.raises(DataError, match="'text'"):
        open_texts(path, task="regression")


def test_labels_that_are_all_different_numbers_suggest_regression(tmp_path):
    path = write(tmp_path / "x.csv", [(f"t{i}", i / 3) for i in range(40)])
    with pytest.raises(ClassesError, match=r"40.*40") as error:
        open_texts(path)
    assert "--task regression" in error.value.hint
    few = write(tmp_path / "y.csv", [(f"t{i}", i / 3) for i in range(5)])
    with pytest.raises(DataError, match="one sample per class") as error:
        open_texts(few)
    assert "--task regression" in error.value.hint
    with pytest.raises(DataError, match="one sample per class"):
        open_texts(path, task="single-label")


def test_numbers_that_repeat_are_classes(tmp_path):
    path = write(tmp_path / "x.csv", [(f"t{i}", i % 15) for i in range(40)])
    assert len(open_texts(path).classes) == 15


def test_the_number_of_columns_is_checked(tmp_path):
    path = numbers(tmp_path / "x.csv")
    with pytest.raises(ClassesError, match=r"classes.*2.*1.*'price'"):
        open_texts(path, task="regression", label_column="price", classes=2)


def test_several_label_columns_are_for_flags_or_numbers(tmp_path):
    path = numbers(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"'price'.*0.*1") as e:
        open_texts(path, label_column=["price", "weight"])
    assert "--task regression" in e.value.hint
    with pytest.raises(DataError, match=r"'price'.*'price'"):
        open_texts(path, label_column=["price", "price"], task="regression")


def test_an_evaluation_may_name_other_columns_of_numbers(tmp_path):
    path = write(tmp_path / "x.csv", [("a", 1, 2), ("b", 3, 4)], ("text", "p", "q"))
    known = {"need": "evaluate", "known_classes": ("price", "weight"), "task": "regression"}
    splits = open_texts(path, label_column=["q", "p"], val_split=0.5, **known)
    assert splits.to_evaluate(trained_on="")["all"].labels.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(ClassesError, match=r"'p'.*'price'.*'weight'"):
        open_texts(path, label_column="p", **known)


def test_an_unknown_task_names_the_closest(tmp_path):
    path = numbers(tmp_path / "x.csv")
    with pytest.raises(NameLookupError, match=r"'multilabel'.*'multi-label'"):
        open_texts(path, task="multilabel")


# -- pairs -------------------------------------------------------------------------------------


def paired(path: Path) -> Path:
    rows = [(f"premise {i}", f"hypothesis {i}", "yn"[i % 2]) for i in range(10)]
    return write(path, rows, ("premise", "hypothesis", "label"))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_two_columns_make_pairs(tmp_path, suffix):
    path = paired(tmp_path / f"x.{suffix}")
    splits = open_texts(path, text_column=["premise", "hypothesis"])
    assert splits.train.pairs
    assert everything(splits) == {
        (f"premise {i}", f"hypothesis {i}"): (1, 0)[i % 2] for i in range(10)
    }
    assert texts_of(splits.train.raw(0)) == splits.train.raw(0)
    assert splits.train.input(0) == f"{path} row 1"
    swapped = open_texts(path, text_column=["hypothesis", "premise"])
    assert swapped.fingerprint != splits.fingerprint


def test_a_pair_needs_both_texts(tmp_path):
    path = write(
        tmp_path / "x.csv",
        [("a", "b", "0"), ("c", "", "1"), ("", "d", "1"), ("e", "f", "1"), ("g", "h", "0")],
        ("one", "two", "label"),
    )
    with pytest.raises(BadFilesError, match=r"3.*'one'.*2.*'two'"):
        open_texts(path, text_column=["one", "two"])


def test_what_pairs_cannot_be(tmp_path):
    path = paired(tmp_path / "x.csv")
    with pytest.raises(DataError, match="got 3: "):
        open_texts(path, text_column=["premise", "hypothesis", "label"])
    with pytest.raises(DataError, match=r"takes one image per row, .* two columns"):
        open_data(path, kind=IMAGE, text_column=["premise", "hypothesis"])
    with pytest.raises(DataError, match=r"'hypotesis'.*'hypothesis'"):
        open_texts(path, text_column=["premise", "hypotesis"])
    with pytest.raises(DataError, match="no column of texts") as error:
        open_texts(path)
    assert "twice for text pairs" in error.value.hint


def test_inputs_of_a_prediction_on_pairs(tmp_path):
    path = paired(tmp_path / "x.csv")
    columns = ["premise", "hypothesis"]
    samples = open_inputs([path, ("a", "b")], TEXT, columns, pairs=True)
    assert samples.raw(9) == ("premise 9", "hypothesis 9")
    assert (samples.raw(10), samples.input(10)) == (("a", "b"), "pair 2")


@pytest.mark.parametrize("given", ["one text", ("a",), Path("x.txt")])
def test_what_is_not_a_pair(given):
    with pytest.raises(DataError, match="takes text pairs, but input 1 is not") as error:
        open_inputs([given], TEXT, pairs=True)
    assert "tab" in error.value.hint


def test_pairs_where_none_are_taken(tmp_path):
    with pytest.raises(DataError, match="takes single texts, but input 1 is a pair"):
        open_inputs([("a", "b")], TEXT)
    with pytest.raises(DataError, match="takes images, but input 1 is a pair"):
        open_inputs([("a", "b")], IMAGE)
    with pytest.raises(DataError, match=r"text_column.*2"):
        open_inputs([paired(tmp_path / "x.csv")], TEXT, ["premise", "hypothesis"])
    with pytest.raises(DataError, match=r"text_column.*1"):
        open_inputs([tmp_path / "x.csv"], TEXT, "premise", pairs=True)
    with pytest.raises(DataError, match="takes texts, not images: input 1"):
        open_inputs([b"png"], TEXT, pairs=True)


# -- a task that zoo does not have -------------------------------------------------------------


class Stars(SingleLabel):
    """Classes that lie in a column of their own."""

    name = "stars"
    usual_columns = ("stars",)

    def claims(self, table: object, columns: object) -> bool:
        del table
        return columns == ("stars",)


def test_the_sources_ask_whatever_task_they_are_handed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "text,stars,label\n" + "".join(f"t{i},{i % 2 + 4},x{i % 3}\n" for i in range(12))
    )
    splits = dataset.open_data(path, kind=TEXT, tasks=(Stars(),))
    assert (splits.task, splits.classes) == ("stars", ("4", "5"))
    either = (Stars(), SingleLabel())
    assert dataset.open_data(path, kind=TEXT, tasks=either).task == "single-label"
    named = dataset.open_data(path, kind=TEXT, tasks=either, label_column="stars")
    assert (named.task, named.label_columns) == ("stars", ("stars",))
