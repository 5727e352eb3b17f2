"""Every broken table is refused by its name, every unusable row by its number, none gets lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Zoo
from tests.faults import tables
from tests.opened import open_data
from zoo.data.samples import Splits
from zoo.errors import BadFilesError, ZooError
from zoo.modalities import TEXT
from zoo.modalities.text.contents import texts_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def opened(folder: Path, name: str, content: bytes, **options: object) -> Splits:
    (folder / name).write_bytes(content)
    return open_data(folder / name, kind=TEXT, **options)


def samples(splits: Splits) -> int:
    assert splits.val is not None
    return len(splits.train) + len(splits.val)


@pytest.mark.parametrize("name", tables.WHOLE)
def test_an_odd_but_whole_table_trains_with_all_its_rows(name: str, tmp_path: Path) -> None:
    content, count = tables.WHOLE[name]
    splits = opened(tmp_path, name, content)
    assert samples(splits) == count
    assert len(splits.classes) == 2
    assert not splits.skipped
    texts = [text for i in range(len(splits.train)) for text in texts_of(splits.train.raw(i))]
    assert all(text.strip() for text in texts)


def test_texts_arrive_as_they_are(tmp_path: Path) -> None:
    for text in ("a\0b", "first\nsecond", '"quoted"', "=cmd|' /C calc'!A0", "\u202egnp", "NaN"):
        splits = opened(tmp_path, "t.csv", tables.some(text))
        assert splits.val is not None
        every = {
            t for s in (splits.train, splits.val) for i in range(len(s)) for t in texts_of(s.raw(i))
        }
        assert text in every, every


@pytest.mark.parametrize("name", tables.SOME)
def test_rows_that_cannot_be_used_are_named_by_number_or_left_out(
    name: str, tmp_path: Path
) -> None:
    content, count = tables.SOME[name]
    with pytest.raises(BadFilesError) as caught:
        opened(tmp_path, name, content)
    assert set(caught.value.paths) == {f"{tmp_path / name} row {13 + i}" for i in range(count)}
    splits = opened(tmp_path, name, content, bad_files="skip")
    assert samples(splits) == 12
    assert len(splits.skipped) == count


@pytest.mark.parametrize("name", tables.BROKEN)
@pytest.mark.parametrize("mode", ["error", "skip"])
def test_a_broken_table_is_refused_by_its_name(name: str, mode: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError) as caught:
        opened(tmp_path, name, tables.BROKEN[name], bad_files=mode)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [*tables.EITHER, *tables.parquet()])
def test_a_doubtful_table_trains_with_all_its_rows_or_is_refused(name: str, tmp_path: Path) -> None:
    content = {**tables.EITHER, **tables.parquet()}[name]
    try:
        splits = opened(tmp_path, name, content, bad_files="skip")
    except ZooError as refusal:
        said = str(refusal)
    else:
        said = ""
    if said:
        assert name in said
        return
    rows = 12 if content.startswith(b"PAR1") else content.count(b'"label"')
    if name.endswith("csv"):
        rows = 13 if b'"' in content else 12
    assert samples(splits) + len(splits.skipped) == rows


def test_what_is_not_utf_8_is_reported_by_row(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"invalid-utf-8\.csv.*UTF-8.*14"):
        opened(tmp_path, "invalid-utf-8.csv", tables.BROKEN["invalid-utf-8.csv"])


def test_numbers_that_are_none_are_reported_by_row(tmp_path: Path) -> None:
    rows = [(text, str(i)) for i, text in enumerate(tables.TEXTS)]
    odd = ["NaN", "inf", "-inf", "1e999", "twelve", "", "1,5", "0x10", "1_000", "=1+1"]
    content = tables.csv([*rows, *((f"text {i}", f'"{cell}"') for i, cell in enumerate(odd))])
    splits = opened(tmp_path, "n.csv", content, task="regression", bad_files="skip")
    assert samples(splits) + len(splits.skipped) == len(rows) + len(odd)
    assert samples(splits) <= len(rows) + 1
    assert f"{tmp_path / 'n.csv'} row 13" in splits.skipped[0]


def test_a_run_says_in_three_places_how_many_rows_it_left_out(tmp_path: Path, zoo_cli: Zoo) -> None:
    odd = [("", "good"), ("fine", ""), ("\x1b[2J", "bad"), ("a\0b", "good")]
    rows = [*tables.plain(), *odd]
    (tmp_path / "t.csv").write_bytes(tables.csv(rows))
    done = zoo_cli(
        *("finetune", "--no-report", "lstm", "--data", tmp_path / "t.csv", "--bad-files", "skip"),
        *("--epochs", 1, "--output", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert len(data["skipped"]) == 2
    assert data["train"] + data["val"] + 2 == len(rows)
    assert "2 unreadable skipped" in done.err
    assert "2 unreadable inputs skipped; run.json" in done.out
    for text in ("\x1b", "\0"):
        assert text not in done.out + done.err


def test_the_corpus_is_as_large_as_promised() -> None:
    named = [*tables.WHOLE, *tables.SOME, *tables.BROKEN, *tables.EITHER, *tables.parquet()]
    assert len(named) >= 90
