"""A stray quotation mark swallows no rows without a word, and escaped ones are read as they are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.opened import open_data
from zoo.data.inputs import open_inputs
from zoo.data.samples import Splits
from zoo.data.sources.dialects import dialect_of
from zoo.errors import DataError
from zoo.modalities import TEXT


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


def _write(path: Path, rows: list[str], header: str = "text,label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _open(path: Path, **options: Any) -> Splits:
    return open_data(path, kind=TEXT, **options)


def _texts(splits: Splits) -> set[str]:
    assert splits.val is not None
    return {str(s.raw(i)) for s in (splits.train, splits.val) for i in range(len(s))}


def _stray(closed: str) -> list[str]:
    """120 rows; a quotation mark opens in row 30, and another stands at the end of row 80."""
    rows = [f"number {i},{i % 2}" for i in range(120)]
    rows[30] = '"number 30,0'
    rows[80] = closed
    return rows


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("closed", ['number 80",0', 'number "80" there,0', "number 80,0"])
def test_a_stray_quotation_mark_that_swallows_rows_is_an_error_that_names_its_line(
    tmp_path: Path, closed: str, delimiter: str
) -> None:
    rows = [row.replace(",", delimiter) for row in _stray(closed)]
    path = _write(tmp_path / "x.csv", rows, f"text{delimiter}label")
    with pytest.raises(DataError, match=r"x\.csv.*32") as caught:
        _open(path)
    assert "--quoting none" in caught.value.hint
    plain = _open(path, quoting="none")
    assert len(_texts(plain)) == 120
    assert '"number 30' in _texts(plain)
    assert closed.partition(",")[0] in _texts(plain)


@pytest.mark.parametrize("quoting", ["double", "backslash"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_quotation_mark_that_is_never_closed_is_an_error_also_where_quoting_is_asked_for(
    tmp_path: Path, delimiter: str, quoting: str
) -> None:
    rows = [f"number {i}{delimiter}{i % 2}" for i in range(40)]
    rows[20] = f'"number 20{delimiter}0'
    path = _write(tmp_path / "x.csv", rows, f"text{delimiter}label")
    with pytest.raises(DataError, match=r"x\.csv") as caught:
        _open(path, quoting=quoting)
    assert "--quoting" in caught.value.hint
    assert len(_texts(_open(path, quoting="none"))) == 40


def test_one_row_that_is_swallowed_is_reported_by_its_label(tmp_path: Path) -> None:
    rows = [*(f"number {i},{i % 2}" for i in range(9)), '"open,1', "lost,0", 'closed",1']
    path = _write(tmp_path / "x.csv", rows)
    with pytest.raises(DataError, match=r"11.*3") as caught:
        _open(path)
    assert "--quoting double" in caught.value.hint
    assert "open,1\nlost,0\nclosed" in _texts(_open(path, quoting="double"))


@pytest.mark.parametrize(
    "text",
    ["first\nsecond", "a list:\n\n- one, two\n- three, and four, five\n", "one, two\nthree, 4"],
)
def test_texts_of_several_lines_are_read_and_counted(tmp_path: Path, text: str) -> None:
    rows = [*(f"number {i},{i % 2}" for i in range(10)), f'"{text}",1']
    splits = _open(_write(tmp_path / "x.csv", rows))
    assert text in _texts(splits)
    lines = 11 + text.count("\n")
    assert (
        f"11 rows from {lines} lines; the longest row has {lines - 10} lines, starting at line 12"
        in (splits.notes[0])
    )


def test_a_table_with_a_row_a_line_needs_no_words(tmp_path: Path) -> None:
    rows = [f'"number ""{i}"", quoted",{i % 2}' for i in range(10)]
    splits = _open(_write(tmp_path / "x.csv", rows))
    assert splits.notes == ()
    assert 'number "3", quoted' in _texts(splits)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_quotation_marks_behind_backslashes_are_marks_in_the_text(
    tmp_path: Path, delimiter: str
) -> None:
    rows = [f'"he said \\"{i}{delimiter} no\\" twice"{delimiter}{i % 2}' for i in range(10)]
    path = _write(tmp_path / "x.csv", rows, f"text{delimiter}label")
    if delimiter == "\t":  # whose quotes are taken for marks where they fit into lines so
        splits = _open(path, quoting="backslash")
    else:
        splits = _open(path)
        assert splits.notes[0].endswith("escaped with backslashes")
    assert _texts(splits) == {f'he said "{i}{delimiter} no" twice' for i in range(10)}


def test_backslashes_without_quotation_marks_stay_as_they_are(tmp_path: Path) -> None:
    rows = [f'"C:\\new\\{i}, here",{i % 2}' for i in range(10)]
    assert "C:\\new\\3, here" in _texts(_open(_write(tmp_path / "x.csv", rows)))


def test_a_mark_in_the_middle_of_an_unquoted_text_is_part_of_it(tmp_path: Path) -> None:
    rows = [f'a 5" pipe of {i},{i % 2}' for i in range(10)]
    assert 'a 5" pipe of 3' in _texts(_open(_write(tmp_path / "x.csv", rows)))


def test_a_text_that_goes_on_behind_its_quotes_is_reported(tmp_path: Path) -> None:
    rows = [*(f"number {i},{i % 2}" for i in range(10)), '"Great" he said,1']
    path = _write(tmp_path / "x.csv", rows)
    with pytest.raises(DataError, match="line 12: ") as caught:
        _open(path)
    assert "--quoting none" in caught.value.hint
    assert '"Great" he said' in _texts(_open(path, quoting="none"))


def test_inputs_of_a_prediction_are_read_with_the_same_quoting(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", _stray('number 80",0'))
    with pytest.raises(DataError, match="line 32"):
        open_inputs([path], TEXT)
    assert len(open_inputs([path], TEXT, quoting="none")) == 120


def test_where_no_reading_fits_the_hint_offers_none(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", ['a,"b, c" d,1', "e,f,g,h,i"], "text,more,label")
    with pytest.raises(DataError, match="line 2: ") as caught:
        dialect_of(path)
    assert "--quoting" not in caught.value.hint
