"""``predict`` and ``evaluate`` read what training read, and give one answer an input."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pandas
import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.errors import BadFilesError, DataError

WORDS = {"good": "a fine warm film", "bad": "a dull cold film"}


def _table(path: Path, header: str, rows: int = 24) -> Path:
    """Texts that tell the label in ``verdict``; in ``text`` and ``body`` words that do not."""
    lines = [header]
    for i in range(rows):
        label = "good" if i % 2 else "bad"
        cells = {"verdict": WORDS[label], "text": f"number {i}", "body": f"row {i}", "label": label}
        cells |= {"target": "good" if i < 5 else "bad", "answer": label}
        lines.append(",".join(cells[name] for name in header.split(",")))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("columns")
    table = _table(folder / "train.csv", "text,verdict,label")
    made = zoo.finetune(
        "lstm",
        data=table,
        text_column="verdict",
        output=folder / "run",
        epochs=4,
        batch_size=4,
        lr=0.02,
        report=False,
    )
    assert made.metrics["accuracy"] == 1.0
    return folder / "run"


@pytest.fixture(scope="module")
def guessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a table whose columns were found by their names."""
    folder = tmp_path_factory.mktemp("guessed")
    table = _table(folder / "train.csv", "body,label")
    zoo.finetune("lstm", data=table, output=folder / "run", epochs=1, report=False)
    return folder / "run"


def test_predict_reads_the_column_that_training_read(run: Path, tmp_path: Path) -> None:
    table = _table(tmp_path / "new.csv", "text,verdict,label")
    opened = zoo.open_run(run)
    said = opened.predict([table])
    assert [p.input for p in said] == [WORDS["good" if i % 2 else "bad"] for i in range(24)]
    assert [p.to_json()["label"] for p in said] == ["good" if i % 2 else "bad" for i in range(24)]
    assert next(iter(opened.evaluate(table).values())).metrics["accuracy"] == 1.0
    named = opened.predict([table], text_column="text")
    assert named[3].input == "number 3"


def test_a_table_without_the_column_that_was_named_for_training_is_refused(
    run: Path, tmp_path: Path
) -> None:
    table = _table(tmp_path / "new.csv", "text,label")
    with pytest.raises(DataError, match=r"'verdict'.*'text'") as caught:
        zoo.open_run(run).predict([table])
    assert "text_column" in str(caught.value)


def test_columns_that_training_found_by_their_names_go_before_all_others(
    guessed: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    record = json.loads((guessed / "run.json").read_text())
    assert record["data"]["columns"] == {"inputs": ["body"], "labels": ["label"]}
    table = _table(tmp_path / "new.csv", "text,body,target,label")
    opened = zoo.open_run(guessed)
    assert [p.input for p in opened.predict([table])] == [f"row {i}" for i in range(24)]
    confusion = next(iter(opened.evaluate(table).values())).confusion
    assert confusion is not None
    assert [sum(row) for row in confusion] == [2, 2]  # not 19 and 5
    other = _table(tmp_path / "other.csv", "text,label")
    done = zoo_cli("predict", guessed, other)
    assert "has no column 'body', which the run was trained on; reading 'text'" in done.err
    assert done.out.splitlines()[3].startswith("number 3\t")
    for name, more in (("found", ()), ("named", ("--text-column", "body"))):
        zoo_cli("embed", guessed, table, "--output", tmp_path / f"{name}.npy", *more)
    found, named = (np.load(tmp_path / f"{name}.npy") for name in ("found", "named"))
    assert np.array_equal(found, named)


@pytest.mark.parametrize(
    "columns", [{"inputs": "body"}, {"inputs": [3]}, {"labels": {"a": 1}}, ["body"], "body"]
)
def test_columns_of_a_damaged_record_are_reported(
    guessed: Path, tmp_path: Path, columns: Any
) -> None:
    record = json.loads((guessed / "run.json").read_text())
    record["data"]["columns"] = columns
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(zoo.errors.RunError, match=r"run\.json"):
        zoo.open_run(tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {"text": ["a", "b"], "label": ["x", "y"]},
        SimpleNamespace(column_names=["text"]),  # pyarrow.Table has them
    ],
)
def test_a_table_in_memory_is_refused_and_not_answered_column_name_by_column_name(
    run: Path, given: Any
) -> None:
    with pytest.raises(DataError, match="inputs must be a list or a table, got a ") as caught:
        zoo.open_run(run).predict(given)
    assert "pandas DataFrame" in caught.value.hint


@pytest.mark.parametrize("given", [{"text": "a"}, float("nan"), 3, None, ["a"], ("a", 3)])
def test_an_input_of_another_kind_is_named_by_its_place(run: Path, given: Any) -> None:
    with pytest.raises(DataError, match="input 2 is "):
        zoo.open_run(run).predict(["a fine film", given])


def test_nothing_is_no_list_of_inputs(run: Path) -> None:
    with pytest.raises(DataError, match="inputs must be a list, got NoneType"):
        zoo.open_run(run).predict(None)


def test_a_table_in_memory_is_read_by_the_columns_of_the_run(run: Path) -> None:
    frame = pandas.DataFrame({"text": ["x", "y"], "verdict": ["a fine warm film", None]})
    opened = zoo.open_run(run)
    for table in (frame[:1], datasets.Dataset.from_pandas(frame[:1])):
        assert [p.to_json()["label"] for p in opened.predict(table)] == ["good"]
    with pytest.raises(BadFilesError, match="DataFrame row 2: nothing in column 'verdict'"):
        opened.predict(frame)
    skipped = opened.predict(frame, bad_files="skip").to_pandas()
    assert skipped["label"].tolist()[0] == "good"
    assert len(skipped) == 2


def test_a_column_of_a_table_in_memory_is_answered_row_by_row(run: Path) -> None:
    column = pandas.Series(["a fine warm film", "a dull cold film"])
    assert [p.to_json()["label"] for p in zoo.open_run(run).predict(column)] == ["good", "bad"]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "notes.md",
        "notes.docx",
        "./notes",
        "../notes",
        "~/notes",
        "old.csv.gz",
        "data/notes",
    ],
)
def test_the_name_of_a_file_that_is_missing_is_not_classified(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = zoo_cli("predict", run, name)
    assert (done.code, done.out) == (1, "")
    assert "does not exist" in done.err
    assert Path(name).name in done.err


@pytest.mark.parametrize("name", ["my notes.txt", "my notes.docx", "my table.csv"])
def test_a_missing_file_with_blanks_in_its_name_is_not_classified_either(
    run: Path, zoo_cli: Zoo, name: str
) -> None:
    done = zoo_cli("predict", run, name)
    assert (done.code, done.out) == (1, "")
    assert f"{name} does not exist" in done.err
    assert zoo.open_run(run).predict([f"see {name}"])[0].input == f"see {name}"  # a text in a list


@pytest.mark.parametrize("name", ["my notes.txt", "notes.txt"])
def test_a_text_file_is_read_whatever_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("a fine warm film\n")
    assert [p.input for p in zoo.open_run(run).predict([name])] == ["a fine warm film"]


@pytest.mark.parametrize("name", ["notes.md", "notes.x1"])
def test_a_file_of_another_kind_is_reported_and_its_name_not_classified(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("a fine warm film\n")
    with pytest.raises(DataError, match="notes"):
        zoo.open_run(run).predict([name])


LINES = [
    "one\x0ctwo",
    "three\u2028four",
    "",
    "five\u2029\x85six",
    " ",
    "a\x1cb\x1dc\x1ed\x0b",
    "\ta",
]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_a_text_file_gets_one_answer_a_line(
    run: Path, tmp_path: Path, zoo_cli: Zoo, ending: str, last: bool
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text(ending.join(LINES) + ending * last, newline="")
    done = zoo_cli("predict", run, path, "--json")
    assert [row["input"] for row in json.loads(done.out)] == LINES
    assert "has 2 blank lines, the first is line 3" in done.err


def test_standard_input_gets_one_answer_a_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    content = "\n".join(["", *LINES, "", ""]) + "\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    done = zoo_cli("predict", run, "-", "--json")
    assert [row["input"] for row in json.loads(done.out)] == ["", *LINES, "", ""]
    assert "standard input has 5 blank lines, the first is line 1" in done.err


def test_embed_gives_one_row_a_line(run: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    done = zoo_cli("embed", run, tmp_path / "lines.txt", "--output", tmp_path / "f.parquet")
    assert len(pandas.read_parquet(tmp_path / "f.parquet")) == len(LINES)
    assert "has 2 blank lines" in done.err


def test_a_text_file_that_is_a_pipe_is_refused_at_once(run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match="UTF-8"):
        zoo.open_run(run).predict([tmp_path / "pipe.txt"])


def test_quoting_is_recorded_and_is_the_default_of_what_follows(
    tmp_path: Path, zoo_cli: Zoo
) -> None:
    rows = [f"number {i},{'good' if i % 2 else 'bad'}" for i in range(24)]
    rows[5], rows[15] = '"number 5,good', 'number 15",good'
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    arguments = ("finetune", "lstm", "--data", path, "--output", tmp_path / "run", "--epochs", 1)
    done = zoo_cli(*arguments)
    assert done.code == 1
    assert "line 7: a quoted text spans 11 lines that look like rows" in done.err
    assert not (tmp_path / "run").exists()
    done = zoo_cli(*arguments, "--quoting", "none")
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert (data["quoting"], data["train"] + data["val"]) == ("none", 24)
    done = zoo_cli("predict", tmp_path / "run", path)
    assert [line.split("\t")[0] for line in done.out.splitlines()][5] == '"number 5'
    assert len(done.out.splitlines()) == 24
    assert "(4 samples)" in zoo_cli("evaluate", tmp_path / "run", "--data", path).out
    assert zoo_cli("predict", tmp_path / "run", path, "--quoting", "auto").code == 1


def test_a_record_of_another_quoting_is_damaged(guessed: Path, tmp_path: Path) -> None:
    record = json.loads((guessed / "run.json").read_text())
    record["data"]["quoting"] = "sideways"
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(zoo.errors.RunError, match="'sideways'"):
        zoo.open_run(tmp_path)
