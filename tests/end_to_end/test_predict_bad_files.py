"""One input that cannot be read costs no other its prediction, and answers stay in their order."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from tests.made_runs import weighted_run
from tests.opened import open_rows, open_subsample
from tests.unit.test_data_splits import unreadable
from zoo.errors import DataError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.text.tokenization import train_tokenizer
from zoo.registry.registry import Registry

NUMBERS = {"name": "regression", "metric": "loss", "mean": [1.0, 2.0], "std": [1.0, 1.0]}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def image_run(folder: Path, **changes: object) -> Path:
    spec = Registry.discover().spec("basics/cnn").with_input(size=16)
    return weighted_run(folder, spec, **changes)


def text_run(folder: Path, **changes: object) -> Path:
    words = " ".join(f"w{n}" for n in range(60))
    tokenizer = train_tokenizer([words] * 2, 60, pairs="data" in changes)
    spec = Registry.discover().spec("basics/lstm")
    spec = spec.with_input(vocab_size=tokenizer.get_vocab_size(), max_length=20)
    return weighted_run(folder, spec, tokenizer=tokenizer, **changes)


def damage(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:60])
    return path


def test_a_damaged_image_gets_its_reason_and_the_others_their_predictions(
    images: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = image_run(tmp_path / "run")
    whole = zoo_cli("predict", run, images, "--json").json
    bad = str(damage(images / "2.png"))
    stopped = zoo_cli("predict", run, images)
    assert (stopped.code, stopped.out) == (1, "")
    assert "--bad-files skip" in stopped.err
    done = zoo_cli("predict", run, images, "--bad-files", "skip", "--json")
    assert done.code == 0
    assert "1 of 5 inputs could not be read" in done.err
    rows = done.json
    assert [row["input"] for row in rows] == [str(images / f"{i}.png") for i in range(5)]
    assert rows[2].keys() == {"input", "error"}
    assert rows[2]["input"] == bad
    assert rows[2]["error"]
    for i in (0, 1, 3, 4):
        assert rows[i]["label"] == whole[i]["label"]
        assert rows[i]["probabilities"] == pytest.approx(whole[i]["probabilities"], abs=1e-6)
    lines = zoo_cli("predict", run, images, "--bad-files", "skip").out.splitlines()
    assert len(lines) == 5
    assert lines[2].startswith(f"{bad}\terror: ")


def test_a_table_of_predictions_has_an_empty_row_with_the_reason(
    images: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    damage(images / "0.png")
    run = image_run(tmp_path / "run")
    table = tmp_path / "out.csv"
    assert zoo_cli("predict", run, images, "--bad-files", "skip", "--output", table).code == 0
    rows = list(csv.DictReader(table.open()))
    assert [bool(row["error"]) for row in rows] == [True, False, False, False, False]
    assert (rows[0]["label"], rows[0]["probability"], rows[0]["p(fern)"]) == ("", "", "")
    assert {row["label"] for row in rows[1:]} <= {"fern", "moss"}
    file = tmp_path / "out.parquet"
    zoo_cli("predict", run, images, "--bad-files", "skip", "--output", file)
    assert [row["label"] is None for row in pq.read_table(file).to_pylist()] == [True] + [False] * 4


def test_several_inputs_of_all_kinds_keep_their_places(images: Path, tmp_path: Path) -> None:
    damage(images / "1.png")
    table = images / "list.csv"
    table.write_text('path\n3.png\n" "\ngone.png\n4.png\n')
    given = [Image.new("RGB", (9, 9)), table, images, images / "0.png"]
    rows = zoo.open_run(image_run(tmp_path / "run")).predict(given, bad_files="skip")
    lost = {i: row.input for i, row in enumerate(rows) if hasattr(row, "error")}
    assert len(rows) == 1 + 4 + 5 + 1
    assert lost == {
        2: f"{table} row 2",
        3: str(images / "gone.png"),
        6: str(images / "1.png"),
    }
    assert [rows[i].input for i in (1, 4, 10)] == [
        str(images / name) for name in ("3.png", "4.png", "0.png")
    ]


def test_a_blank_cell_gets_its_reason(tmp_path: Path, zoo_cli: Zoo) -> None:
    table = tmp_path / "x.csv"
    table.write_text(
        "id,text\n" + "".join(f"{i},{'' if i == 3 else f'w{i} w1'}\n" for i in range(6))
    )
    run = text_run(tmp_path / "run")
    assert "--bad-files skip" in zoo_cli("predict", run, table).err
    rows = zoo_cli("predict", run, table, "--bad-files", "skip", "--json").json
    assert [row["input"] for row in rows] == [
        *("w0 w1", "w1 w1", "w2 w1"),
        f"{table} row 4",
        *("w4 w1", "w5 w1"),
    ]
    assert rows[3]["error"] == "nothing in column 'text'"


def test_pairs_and_several_labels_have_their_empty_rows(tmp_path: Path, zoo_cli: Zoo) -> None:
    table = tmp_path / "x.csv"
    table.write_text("a,b\nw1,w2\nw3,\nw4,w5\n")
    data = {"source": "x", "train": 8, "val": 2, "text_column": ["a", "b"]}
    run = text_run(tmp_path / "run", data=data, task={"name": "multi-label", "metric": "map"})
    out = tmp_path / "out.csv"
    assert zoo_cli("predict", run, table, "--bad-files", "skip", "--output", out).code == 0
    rows = list(csv.DictReader(out.open()))
    assert [(row["input_1"], row["input_2"]) for row in rows] == [
        *(("w1", "w2"), (f"{table} row 2", ""), ("w4", "w5"))
    ]
    assert [bool(row["error"]) for row in rows] == [False, True, False]


def test_numbers_have_their_empty_rows(tmp_path: Path, zoo_cli: Zoo) -> None:
    table = tmp_path / "x.csv"
    table.write_text("id,text\n1,w1\n2,\n")
    run, out = text_run(tmp_path / "run", task=NUMBERS), tmp_path / "out.csv"
    assert zoo_cli("predict", run, table, "--bad-files", "skip", "--output", out).code == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["predicted(moss)"] == "" for row in rows] == [False, True]


def test_a_folder_that_cannot_be_listed_is_answered_behind_the_others(
    images: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "more").mkdir()
    run = image_run(tmp_path / "run")
    with monkeypatch.context() as patch:
        unreadable(images / "more", patch)
        stopped = zoo_cli("predict", run, images)
        assert stopped.code == 1
        assert f"{images / 'more'}: the folder cannot be read" in stopped.err
        rows = zoo_cli("predict", run, images, "--bad-files", "skip", "--json").json
    assert len(rows) == 6
    assert rows[5]["input"] == os.fspath(images / "more")


def test_what_a_folder_holds_beside_images_is_reported(
    images: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    (images / "scan.dat").write_bytes(b"x")
    (images / "@eaDir").mkdir()
    (images / "again").symlink_to(".")
    done = zoo_cli("predict", image_run(tmp_path / "run"), images)
    assert len(done.out.splitlines()) == 5
    assert f"1 file ({images / 'scan.dat'})" in done.err
    assert "1 system folder" in done.err
    assert "1 link" in done.err


@pytest.mark.parametrize(
    "read",
    [
        partial(open_rows, kind=IMAGE),
        partial(open_rows, kind=TEXT),
        partial(open_subsample, samples=2, kinds=(IMAGE, TEXT)),
    ],
)
def test_data_that_cannot_be_listed_are_said_to_be_so(
    images: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    unreadable(images, monkeypatch)
    with pytest.raises(DataError, match="new cannot be read: Permission denied"):
        read(images)


def test_nothing_that_can_be_read_is_an_error(images: Path, tmp_path: Path, zoo_cli: Zoo) -> None:
    for path in images.iterdir():
        damage(path)
    done = zoo_cli("predict", image_run(tmp_path / "run"), images, "--bad-files", "skip")
    assert done.code == 1
    assert "5 inputs cannot be used" in done.err
