"""Tables: every format, columns, labels, quoting, and rows that cannot be used."""

from __future__ import annotations

import csv
import json
import resource
from pathlib import Path

import datasets.config
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.opened import open_data
from zoo.data.sources.tables import read_table
from zoo.errors import BadFilesError, ClassesError, DataError
from zoo.modalities import IMAGE, TEXT

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


ROWS = [(f"text number {i}", ("good", "bad")[i % 2]) for i in range(10)]


def write(path: Path, rows, header=("text", "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [dict(zip(header, row, strict=True)) for row in rows]
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([header, *rows])
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(records), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
    return path


def open_texts(path: Path, **options: object):
    return open_data(path, kind=TEXT, **options)  # type: ignore[arg-type]


def everything(splits) -> dict[str, str]:
    return {
        samples.raw(i): splits.classes[samples.labels[i]]
        for samples in (splits.train, splits.val)
        for i in range(len(samples))
    }


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_samples(tmp_path, suffix):
    splits = open_texts(write(tmp_path / f"reviews.{suffix}", ROWS))
    assert splits.classes == ("bad", "good")
    assert everything(splits) == dict(ROWS)
    assert (len(splits.train), len(splits.val)) == (8, 2)


def test_formats_agree_on_the_fingerprint(tmp_path):
    prints = {
        open_texts(write(tmp_path / f"x.{suffix}", ROWS)).fingerprint
        for suffix in ("csv", "tsv", "jsonl", "parquet")
    }
    assert len(prints) == 1


def test_a_folder_of_tables_by_split(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "dev.jsonl", ROWS[:3])
    write(tmp_path / "test.tsv", ROWS[:4])
    splits = open_texts(tmp_path)
    assert (len(splits.train), len(splits.val), splits.test) == (10, 3, None)
    evaluated = open_texts(tmp_path, need="evaluate", known_classes=splits.classes)
    held_out = evaluated.to_evaluate(trained_on="")
    assert {name: len(samples) for name, samples in held_out.items()} == {"val": 3, "test": 4}


def test_the_only_table_of_a_folder_is_taken_whatever_its_name(tmp_path):
    write(tmp_path / "reviews.csv", ROWS)
    assert len(everything(open_texts(tmp_path))) == 10


def test_several_tables_without_a_training_one(tmp_path):
    write(tmp_path / "one.csv", ROWS)
    write(tmp_path / "two.csv", ROWS)
    with pytest.raises(DataError, match=r"several tables.*one\.csv, two\.csv"):
        open_texts(tmp_path)


def test_two_tables_for_one_split(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(DataError, match=r"train\.csv and train\.jsonl"):
        open_texts(tmp_path)


def test_a_test_table_without_labels_leaves_the_evaluation_to_val(tmp_path):
    write(tmp_path / "val.csv", ROWS[:3])
    write(tmp_path / "test.csv", [(text,) for text, _ in ROWS], header=("text",))
    splits = open_texts(tmp_path, need="evaluate", known_classes=("bad", "good"))
    assert {n: len(s) for n, s in splits.to_evaluate(trained_on="").items()} == {"val": 3}


@pytest.mark.parametrize("column", ["Sentence", "review", "content"])
@pytest.mark.parametrize("label", ["labels", "Sentiment", "category", "target"])
def test_usual_columns_are_found(tmp_path, column, label):
    path = write(
        tmp_path / "x.csv", [(i, *row) for i, row in enumerate(ROWS)], ("id", column, label)
    )
    assert everything(open_texts(path)) == dict(ROWS)


def test_columns_may_be_named(tmp_path):
    rows = [("wrong", text, "0", label) for text, label in ROWS]
    path = write(tmp_path / "x.csv", rows, ("text", "Essay", "label", "Grade"))
    splits = open_texts(path, text_column="Essay", label_column="Grade")
    assert everything(splits) == dict(ROWS)
    with pytest.raises(DataError, match=r"'Esay'.*'Essay'.*'label'.*'Essay'"):
        open_texts(path, text_column="Esay")


def test_a_table_without_labels_names_its_columns(tmp_path):
    path = write(tmp_path / "x.csv", [("a", "1"), ("b", "2")], ("text", "stars"))
    with pytest.raises(DataError, match=r"'text'.*'stars'") as e:
        open_texts(path)
    assert "--label-column" in e.value.hint


def test_a_table_without_texts_names_its_columns(tmp_path):
    path = write(tmp_path / "x.csv", [("a", "b", "1")], ("foo", "bar", "label"))
    with pytest.raises(DataError, match=r"'foo'.*'bar'"):
        open_texts(path)


def test_numeric_labels_are_sorted_as_numbers(tmp_path):
    rows = [(f"t{i}", i % 11) for i in range(44)]
    for suffix in ("csv", "jsonl", "parquet"):
        splits = open_texts(write(tmp_path / f"x.{suffix}", rows))
        assert splits.classes == tuple(str(i) for i in range(11))
        assert everything(splits) == {text: str(label) for text, label in rows}


def test_labels_with_leading_zeros_stay_as_they_are(tmp_path):
    rows = [(f"t{i}", ("007", "42")[i % 2]) for i in range(8)]
    assert set(open_texts(write(tmp_path / "x.csv", rows)).classes) == {"007", "42"}


def test_whole_floats_and_integers_are_one_class(tmp_path):
    write(tmp_path / "train.csv", [(f"t{i}", i % 2) for i in range(8)])
    write(tmp_path / "val.parquet", [(f"v{i}", float(i % 2)) for i in range(4)])
    splits = open_texts(tmp_path)
    assert splits.classes == ("0", "1")
    assert splits.val.labels.tolist() == [0, 1, 0, 1]


def test_fractions_stay_apart(tmp_path):
    rows = [(f"t{i}", ("1.0", "1.5")[i % 2]) for i in range(8)]
    assert open_texts(write(tmp_path / "x.csv", rows)).classes == ("1.0", "1.5")


def test_words_that_look_like_missing_values_are_labels_and_texts(tmp_path):
    rows = [(("null", "NA", "nan", "None")[i % 4] + f" {i}", ("NA", "no")[i % 2]) for i in range(8)]
    assert open_texts(write(tmp_path / "x.csv", rows)).classes == ("NA", "no")


def test_truth_values_are_labels(tmp_path):
    rows = [(f"t{i}", i % 2 == 0) for i in range(8)]
    assert open_texts(write(tmp_path / "x.jsonl", rows)).classes == ("false", "true")


def test_incomplete_rows_are_listed_by_number_or_left_out(tmp_path):
    rows = [*ROWS, ("", "good"), ("  ", "bad"), ("fine", "")]
    path = write(tmp_path / "x.csv", rows)
    with pytest.raises(BadFilesError) as caught:
        open_texts(path)
    assert sorted(caught.value.paths) == [f"{path} row {n}" for n in (11, 12, 13)]
    assert "row 11: nothing in column 'text'" in caught.value.message
    assert "row 13: no label in column 'label'" in caught.value.message
    splits = open_texts(path, bad_files="skip")
    assert everything(splits) == dict(ROWS)
    assert len(splits.skipped) == 3


def test_missing_values_of_typed_formats_are_found(tmp_path):
    rows = [*[(f"t{i}", i % 2) for i in range(8)], (None, 1), ("x", None)]
    for suffix in ("jsonl", "parquet"):
        path = write(tmp_path / f"x.{suffix}", rows)
        with pytest.raises(BadFilesError, match=r"10.*9"):
            open_texts(path)
        assert open_texts(path, bad_files="skip").classes == ("0", "1")


def test_an_evaluation_without_any_labels_names_the_columns(tmp_path):
    path = write(tmp_path / "test.csv", [("a",), ("b",)], header=("text",))
    for source in (path, tmp_path):
        with pytest.raises(DataError, match="'text'"):
            open_texts(source, need="evaluate", known_classes=("0", "1"))


def test_one_class_only(tmp_path):
    with pytest.raises(ClassesError, match="'x'"):
        open_texts(write(tmp_path / "x.csv", [("a", "x"), ("b", "x")]))


def test_a_label_that_only_validation_has_is_named(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "val.csv", [("a", "good"), ("b", "ugly")])
    with pytest.raises(ClassesError, match=r"val\.csv has .*: 'ugly'"):
        open_texts(tmp_path)


def test_an_evaluation_with_a_label_that_the_run_does_not_know(tmp_path):
    with pytest.raises(ClassesError, match="'good'"):
        open_texts(
            write(tmp_path / "test.csv", ROWS), need="evaluate", known_classes=("bad", "god")
        )


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(
        b"\xef\xbb\xbftext,label\n" + b"".join(b"t%d,%d\n" % (i, i % 2) for i in range(8))
    )
    assert len(everything(open_texts(path))) == 8
    path.write_bytes(path.read_bytes().decode("utf-8-sig").encode("utf-16"))
    assert len(everything(open_texts(path))) == 8


def test_semicolons_are_found_out(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text;label\n" + "".join(f"a, b, {i};{i % 2}\n" for i in range(8)))
    assert everything(open_texts(path))["a, b, 3"] == "1"


def test_another_encoding_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("text,label\ncafé,1\nthé,0\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        open_texts(path)


def test_a_stray_comma_is_an_error_that_names_the_row(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\nfine,1\nwell, well,0\n")
    with pytest.raises(DataError, match=r"2.*3.*2"):
        open_texts(path)


def test_quoted_texts_keep_commas_newlines_and_quotes(tmp_path):
    texts = ['say "hi", now', "two\nlines", "it 's", '"']
    rows = [(text, str(i % 2)) for i, text in enumerate(texts * 2)]
    for suffix in ("csv", "tsv"):
        assert set(everything(open_texts(write(tmp_path / f"x.{suffix}", rows)))) == set(texts)


def test_unbalanced_quotes_of_a_tsv_swallow_no_rows(tmp_path):
    path = tmp_path / "x.tsv"
    texts = ['"hello', 'world"', "it 's", '"quoted" start', "plain"]
    path.write_text("text\tlabel\n" + "".join(f"{t}\t{i % 2}\n" for i, t in enumerate(texts)))
    assert set(everything(open_texts(path))) == set(texts)


def test_a_long_text_is_not_too_long(tmp_path):
    before = csv.field_size_limit()
    rows = [("word " * 60_000 + str(i), i % 2) for i in range(4)]
    assert len(everything(open_texts(write(tmp_path / "x.csv", rows)))) == 4
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"text,label\n", "no rows"),
        ("x.jsonl", b"{nonsense", "cannot be read as a table"),
        ("x.parquet", b"PAR1 but not really", "cannot be read as a table"),
        ("x.docx", b"PK", "neither a folder nor a table"),
        ("x.csv", b'text,label\n"open,1\nb,0\n', "cannot be read as a table"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, content, message, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_texts(tmp_path / name)
    captured = capfd.readouterr()
    assert captured.out + captured.err == "", "the error alone tells of it"


def test_a_table_of_image_paths_is_an_image_data_set(tmp_path):
    rows = []
    for i in range(6):
        name = f"images/{i}.png"
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (i * 40, 0, 0)).save(tmp_path / name)
        rows.append((name, ("red", "black")[i % 2], "a caption"))
    path = write(tmp_path / "images.csv", rows, ("file_name", "label", "text"))
    for source in (path, tmp_path):
        splits = open_data(source, kind=IMAGE)
        assert splits.classes == ("black", "red")
        assert Path(splits.train.raw(0)).parent == tmp_path / "images"
    with pytest.raises(DataError, match=r"'file_name'"):
        open_data(path, kind=TEXT, text_column="file_name")

    rows.append(("images/gone.png", "red", ""))
    write(path, rows, ("file_name", "label", "text"))
    with pytest.raises(BadFilesError, match=r"gone\.png"):
        open_data(path, kind=IMAGE)


def test_texts_given_to_an_image_run(tmp_path):
    with pytest.raises(DataError, match=r"'text'"):
        open_data(write(tmp_path / "x.csv", ROWS), kind=IMAGE)


def test_images_listed_for_a_text_run(tmp_path):
    path = write(tmp_path / "x.csv", [("a.jpg", "1"), ("b.jpg", "0")], ("image", "label"))
    with pytest.raises(DataError, match=r"'image'"):
        open_texts(path)


def test_class_names_and_images_inside_parquet_are_honoured(tmp_path):
    import datasets

    images = [Image.fromarray(np.full((8, 8, 3), i * 20, np.uint8)) for i in range(8)]
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["zebra", "ant", "never"])
    )
    data = {"image": images, "label": [i % 2 for i in range(8)]}
    datasets.Dataset.from_dict(data, features=features).to_parquet(tmp_path / "x.parquet")
    splits = open_data(tmp_path / "x.parquet", kind=IMAGE)
    assert splits.classes == ("zebra", "ant"), "the publisher's order, without the unused name"
    assert isinstance(splits.train.raw(0), bytes)


def test_progress_bars_are_as_before(tmp_path):
    import datasets

    before = datasets.are_progress_bars_disabled()
    open_texts(write(tmp_path / "x.csv", ROWS))
    assert datasets.are_progress_bars_disabled() == before


@pytest.mark.skipif(not SHARED.exists(), reason="the shared film reviews are not here")
def test_real_film_reviews_row_by_row():
    splits = open_texts(SHARED / "sst2")
    assert splits.classes == ("0", "1")
    assert (len(splits.train), len(splits.val)) == (6920, 872)
    lines = (SHARED / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for i, line in enumerate(lines):
        assert splits.val.raw(i) + "\t" + splits.classes[splits.val.labels[i]] == line
    evaluated = open_texts(SHARED / "sst2", need="evaluate", known_classes=("0", "1"))
    assert len(evaluated.to_evaluate(trained_on=splits.fingerprint)["test"]) == 1821


def test_a_field_beyond_every_limit_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.data.sources.dialects._LONGEST_FIELD", 1000)
    path = write(tmp_path / "x.csv", [("word " * 1000, "a"), ("x", "b")])
    with pytest.raises(DataError, match="cannot be read as a table: line 2: field larger than"):
        open_texts(path)


@pytest.mark.parametrize("name", ["x.parquet", "x.json", "x.jsonl"])
def test_a_table_without_rows(tmp_path, name):
    table = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text("[]\n")
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(DataError, match=f"{name}"):
        open_texts(tmp_path / name)


def test_a_folder_without_tables(tmp_path):
    (tmp_path / "notes.md").write_text("none")
    with pytest.raises(DataError, match="no table of texts") as caught:
        open_texts(tmp_path)
    assert "Parquet" in caught.value.hint


def test_a_split_of_which_no_row_can_be_read(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "val.csv", [("", "good"), ("", "bad")])
    for need in ({}, {"need": "evaluate", "known_classes": ("bad", "good")}):
        with pytest.raises(DataError, match=r"val\.csv"):
            open_texts(tmp_path, bad_files="skip", **need)


def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "good.csv"
    path.write_text("text,label\nfine,yes\nbad,no\n")
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "datasets"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    with pytest.warns(UserWarning, match=rf"{cache}"):
        table = read_table(path)
    assert table.data["text"][:] == ["fine", "bad"]
    again = read_table(path)  # said once
    assert Path(again.data.cache_files[0]["filename"]).is_file()
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".csv"] == ["file"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_disk_that_is_full_is_no_fault_of_the_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    row = "fine,yes\n" if suffix == ".csv" else '{"text": "fine", "label": "yes"}\n'
    path.write_text(("text,label\n" if suffix == ".csv" else "") + row * 40_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(DataError, match=r"failed to cache .*: .*File too large") as error:
            read_table(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "HF_DATASETS_CACHE" in error.value.hint
    assert len(read_table(path).data) == 40_000


def test_a_few_paths_that_are_no_images_are_named_one_by_one(tmp_path: Path) -> None:
    for number in range(8):
        Image.new("RGB", (9, 9), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *rows, "../etc/passwd,a", "=cmd,b"]))
    with pytest.raises(BadFilesError) as error:
        open_data(tmp_path / "t.csv", kind=IMAGE)
    assert "etc/passwd: there is no such file" in error.value.message
    assert "=cmd: there is no such file" in error.value.message
    assert "2 inputs cannot be used" in error.value.message
