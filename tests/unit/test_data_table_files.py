"""A table that is named is the table that is read, from a regular file, in memory that it is worth."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zoo.data.samples import Samples
from zoo.data.sequences import Listed
from zoo.data.sources import expansion, table_cache, tables
from zoo.data.sources.tables import read_table
from zoo.errors import DataError, RunError
from zoo.modalities import TEXT
from zoo.runs import predictions
from zoo.runs.predictions import evaluated_samples, read_predictions, write_predictions
from zoo.tasks import task_named

Write = Callable[[Path, list[str]], None]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    folder = tmp_path / ".cache [1] {a,b} *?"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder


def _csv(path: Path, texts: list[str]) -> None:
    path.write_text("text,label\n" + "".join(f"{text},{i % 2}\n" for i, text in enumerate(texts)))


def _jsonl(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f'{{"text": "{text}", "label": "x"}}\n' for text in texts))


def _parquet(path: Path, texts: list[str]) -> None:
    pq.write_table(pa.table({"text": texts, "label": ["x"] * len(texts)}), path)


FORMATS = [(".csv", _csv), (".tsv", _csv), (".jsonl", _jsonl), (".json", _jsonl)]
FORMATS += [(".parquet", _parquet)]
every_format = pytest.mark.parametrize(("suffix", "write"), FORMATS)


def _texts(path: Path) -> list[str]:
    column = "text,label" if path.suffix == ".tsv" else "text"
    return [text.partition(",")[0] for text in read_table(path).data[column][:]]


@every_format
@pytest.mark.parametrize("after", [["c", "d"], ["c", "d", "e"]])
def test_a_table_replaced_under_the_same_path_and_time_is_read_as_it_now_is(
    tmp_path: Path, suffix: str, write: Write, after: list[str]
) -> None:
    path = tmp_path / f"table{suffix}"
    for texts in (["a", "b"], after):
        write(path, texts)
        os.utime(path, (1e9, 1e9))  # as tar, unzip and rsync -t leave it
        assert _texts(path) == texts
    other = tmp_path / f"other{suffix}"
    write(other, ["x", "y"])
    os.utime(other, (1e9, 1e9))
    other.replace(path)
    assert _texts(path) == ["x", "y"]


def test_a_link_that_leads_to_another_table_is_followed(tmp_path: Path) -> None:
    _csv(tmp_path / "one.csv", ["a", "b"])
    _csv(tmp_path / "two.csv", ["c", "d"])
    link = tmp_path / "current.csv"
    for name, texts in (("one.csv", ["a", "b"]), ("two.csv", ["c", "d"])):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert _texts(link) == texts


NAMES = ("data[12]", "all*", "wh?t", "a{b,c}", "**", "fold[1]/train", "s3:/train")
FIT = ("data1", "data2", "all1", "what", "ab", "x", "fold1/train", "train")


@every_format
def test_the_name_of_a_table_is_a_name_and_never_a_pattern(
    tmp_path: Path, suffix: str, write: Write
) -> None:
    for each in (*NAMES, *FIT):
        path = tmp_path / f"{each}{suffix}"
        path.parent.mkdir(exist_ok=True)
        write(path, [f"number {(*NAMES, *FIT).index(each)}", "more"])
    for number, name in enumerate(NAMES):
        assert _texts(tmp_path / f"{name}{suffix}") == [f"number {number}", "more"], name


def test_the_same_content_is_read_once_whatever_its_path_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _csv(tmp_path / "one.csv", ["a", "b"])
    first = read_table(tmp_path / "one.csv")
    (tmp_path / "copy.csv").write_bytes((tmp_path / "one.csv").read_bytes())
    monkeypatch.setattr(table_cache, "fill_cache", None)  # nothing is read again
    again = read_table(tmp_path / "copy.csv")
    assert again.data["text"][:] == ["a", "b"]
    assert first.data.cache_files == again.data.cache_files
    assert again.data.features == first.data.features


def test_kept_rows_that_are_damaged_are_read_again(tmp_path: Path) -> None:
    _csv(tmp_path / "one.csv", ["a", "b"])
    kept = Path(read_table(tmp_path / "one.csv").data.cache_files[0]["filename"])
    gc.collect()
    kept.unlink()
    kept.write_bytes(b"ARROW1 but not really")
    assert _texts(tmp_path / "one.csv") == ["a", "b"]


def test_a_table_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.csv"
    _csv(path, ["a", "b"])
    fill = table_cache.fill_cache

    def changed(*args: object) -> None:
        _csv(path, ["c", "d"])
        fill(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(table_cache, "fill_cache", changed)
        with pytest.raises(DataError, match="changed while it was read"):
            read_table(path)
    assert _texts(path) == ["c", "d"]
    _csv(path, ["a", "b"])
    assert _texts(path) == ["a", "b"]


@every_format
@pytest.mark.parametrize("special", ["pipe", "/dev/zero", "/dev/null", "folder"])
def test_a_table_that_is_not_a_regular_file_is_refused_at_once(
    tmp_path: Path, suffix: str, write: Write, special: str
) -> None:
    path = tmp_path / f"table{suffix}"
    if special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    else:
        path.symlink_to(special)
    with pytest.raises(DataError, match=r"cannot be read as a table: .*(regular file|directory)"):
        read_table(path)


def _bomb(shape: str) -> pa.Array:
    """2 GB of texts or numbers in a file of a kilobyte."""
    rows = 5000
    text = pa.array(["x" * 500_000])
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)
    offsets = pa.array(range(rows + 1), pa.int32())
    if shape == "list":
        return pa.ListArray.from_arrays(offsets, texts)
    if shape == "struct":
        return pa.StructArray.from_arrays([texts, pa.array([None] * rows)], ["bytes", "path"])
    return texts


@pytest.mark.parametrize("shape", ["text", "list", "struct"])
def test_a_small_parquet_file_that_becomes_gigabytes_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    path = tmp_path / "bomb.parquet"
    table = pa.table({"text": _bomb(shape), "label": ["a", "b"] * 2500})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**21)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(tables, "cached_table", None)  # nothing is read
    before = pa.total_allocated_bytes()
    with pytest.raises(
        DataError, match=r"bytes but would expand to more than [1-9][,\d]{9,} in memory"
    ):
        read_table(path)
    assert pa.default_memory_pool().max_memory() - before < 200_000_000


def test_numbers_that_repeat_are_counted_as_often_as_they_stand_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"x": [[1.0] * 100_000] * 20}), path, compression="zstd")
    with pytest.raises(expansion.Expands) as caught:
        expansion.check_expansion(path, 1_000_000)
    assert caught.value.size >= 8 * 100_000 * 20
    expansion.check_expansion(path, 20_000_000)


def test_a_table_of_few_repeated_labels_and_long_texts_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "fine.parquet"
    rows = 20_000
    texts = [f"the same beginning of every text, and then number {i}" for i in range(rows)]
    table = pa.table(
        {"text": texts, "label": ["a", "b"] * (rows // 2), "tags": [["p", "q"]] * rows}
    )
    pq.write_table(table, path, compression="zstd", row_group_size=3000)
    expansion.check_expansion(path, 2 * table.nbytes)
    assert read_table(path).data["text"][-1] == texts[-1]


def test_a_disk_without_a_free_byte_is_no_fault_of_the_table(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.csv"
    _csv(path, ["a", "b"])
    full = SimpleNamespace(total=100, used=100, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    monkeypatch.setattr("datasets.utils.py_utils.disk_usage", lambda _: full)
    with pytest.raises(DataError, match=r"failed to cache .*: Not enough disk space") as caught:
        read_table(path)
    assert "HF_DATASETS_CACHE" in caught.value.hint
    assert not list((own_cache / "zoo-tables").iterdir())


@pytest.mark.parametrize("column", ["input", "probabilities"])
def test_small_predictions_that_become_gigabytes_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    rows, path = 1500, tmp_path / "predictions.parquet"
    monkeypatch.setattr(predictions, "_LARGEST", 2**24)
    columns = {
        "input": pa.array(["a"] * rows),
        "label": pa.array(["a"] * rows),
        "probabilities": pa.array([[0.5]] * rows),
    }
    if column == "input":
        large = pa.array(["x" * 20_000])
        columns[column] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), large)
    else:
        offsets = pa.array(range(0, 2_000 * rows + 1, 2_000), pa.int32())
        columns[column] = pa.ListArray.from_arrays(
            offsets, pa.array([0.5]).take([0] * 2_000 * rows)
        )
    pq.write_table(pa.table(columns), path, dictionary_pagesize_limit=2**21)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(pq, "read_table", None)  # nothing is read
    with pytest.raises(RunError, match=r"is damaged: it expands to [12]\d,\d{3},\d{3} bytes"):
        read_predictions(path, ("a",), task=task_named("single-label"))


@pytest.mark.parametrize("task", ["single-label", "multi-label", "regression"])
def test_predictions_are_read_as_they_were_written(tmp_path: Path, task: str) -> None:
    outputs = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    labels = np.array([1, 0, 1]) if task == "single-label" else outputs.round().astype(np.float32)
    samples = Samples(TEXT, Listed(("a", "b", "c"), ("1", "2", "3")), labels)
    evaluated = evaluated_samples(samples, outputs)
    write_predictions(tmp_path / "p.parquet", evaluated, ("x", "y"), task=task_named(task))
    read = read_predictions(tmp_path / "p.parquet", ("x", "y"), task=task_named(task))
    assert read.inputs == ("a", "b", "c")
    assert read.outputs.tolist() == outputs.tolist()
    assert read.outputs.flags.writeable
    assert read.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    "rows", [[[0.5], [0.5, 0.5]], [[0.5, None], [0.5, 0.5]], [None, [1.0, 0.0]]]
)
def test_predictions_with_gaps_are_damaged(tmp_path: Path, rows: list[list[float | None]]) -> None:
    table = {"input": ["a", "b"], "label": ["x", "y"], "probabilities": rows}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    with pytest.raises(
        RunError, match=r"is damaged: (rows of different lengths|missing values in)"
    ):
        read_predictions(tmp_path / "p.parquet", ("x", "y"), task=task_named("single-label"))
