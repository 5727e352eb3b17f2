"""Data of a modality that zoo does not have: the sources ask an object, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo.modalities
from tests.opened import demo_data, open_data, open_rows, open_subsample
from zoo.data.examined import Examined, Keeps
from zoo.data.inputs import one, open_inputs
from zoo.data.kind import DemoData, InputKind, ReadContext
from zoo.data.matches import Matches, equal_hashes, sets_of_equal_hashes
from zoo.data.sequences import Inputs, Listed, Paths
from zoo.data.table import Table
from zoo.errors import BadFilesError, DataError
from zoo.modalities import IMAGE, TEXT


@dataclass(frozen=True)
class Tones:
    """Pitches in hertz, one in each ``.tone`` file; those less than a hertz apart sound the same."""

    name: str = "tone"
    noun: str = "tone"
    nouns: str = "tones"
    in_files: bool = True
    column_names: tuple[str, ...] = ("tone", "pitch")
    in_columns: str = "paths of tones"
    most_columns: int = 1

    @property
    def others(self) -> Sequence[InputKind]:
        return (IMAGE, TEXT)

    def is_file(self, path: str | Path) -> bool:
        return str(path).endswith(".tone")

    def holds(self, table: Table, column: str) -> bool:
        return all(map(self.is_file, table.data[column]))

    def usable_rows(self, table: Table, column: str, /) -> tuple[Any, str]:
        return np.array([bool(path) for path in table.data[column]]), "no tone"

    def inputs_of(self, table: Table, columns: Sequence[str], rows: Any) -> Inputs:
        return Paths.under(table.folder, [table.data[columns[0]][row] for row in rows])

    @property
    def examiner(self) -> str:
        return ""

    def examine(self, inputs: Inputs, keep: Keeps | None = None) -> Examined:
        given = [Path(inputs[i]).read_bytes() for i in range(len(inputs))]
        reasons = {i: "not a pitch" for i, own in enumerate(given) if not own.isdigit()}
        pitches = np.array([int(own) if own.isdigit() else 0 for own in given], dtype=np.uint64)
        return Examined(given, pitches, hashes=pitches[:, None] // 10, reasons=reasons)

    def near_matches(self, train: Any, held: Any) -> Matches:
        return equal_hashes(train, held)

    def near_sets(self, hashes: Any) -> Any:
        return sets_of_equal_hashes(hashes)

    def in_memory(self, given: object) -> bool:
        return isinstance(given, float)

    def open_given(self, given: Any, number: int, asked: ReadContext) -> Inputs:
        return one(given, f"tone {number}") if isinstance(given, float) else asked.table(given)

    def example_file(self, raw: Any) -> tuple[str, bytes]:
        return ".tone", str(raw).encode()

    @property
    def demo(self) -> DemoData:
        def make(names: Sequence[str], seed: int) -> tuple[Listed, Any, list[bytes]]:
            pitches = [str(n) for n in range(20 * len(names))]
            labels = np.repeat(np.arange(len(names)), 20)
            return Listed(tuple(pitches), tuple(pitches)), labels, [p.encode() for p in pitches]

        return DemoData("demo/tones", ("low", "high"), make)


TONE = Tones()


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    for label, first in (("low", 100), ("high", 5000)):
        (tmp_path / "tones" / label).mkdir(parents=True)
        for n in range(10):
            (tmp_path / "tones" / label / f"{n}.tone").write_text(str(first + 20 * n))
    return tmp_path / "tones"


def test_folders_of_classes_are_opened(tones: Path) -> None:
    splits = open_data(tones, kind=TONE)
    assert splits.classes == ("high", "low")
    assert (len(splits.train), len(splits.val or ())) == (16, 4)
    assert splits.train.kind == TONE


def test_it_is_found_out_which_kind_some_data_are_of(tones: Path) -> None:
    assert open_subsample(tones, samples=10, kinds=(TEXT, IMAGE, TONE)).kind == TONE


def test_what_cannot_be_read_is_left_out_or_stops(tones: Path) -> None:
    (tones / "low" / "odd.tone").write_text("loud")
    with pytest.raises(BadFilesError, match=r"odd\.tone"):
        open_data(tones, kind=TONE)
    assert len(open_rows(tones, kind=TONE, bad_files="skip").splits["all"]) == 20


def test_the_same_and_nearly_the_same_are_found(tones: Path) -> None:
    (tones / "low" / "again.tone").write_text("100")
    (tones / "low" / "near.tone").write_text("121")
    splits = open_data(tones, kind=TONE, val_split=0.5)
    deduped = open_data(tones, kind=TONE, val_split=0.5, dedupe=True)
    assert deduped.removed == len(splits.shared) + len(splits.near or ())


def test_tables_are_read_by_the_columns_it_names(tones: Path) -> None:
    rows = "".join(f"{label}/{n}.tone,{label}\n" for label in ("low", "high") for n in range(10))
    (tones / "t.csv").write_text("pitch,label\n" + rows)
    splits = open_data(tones / "t.csv", kind=TONE)
    assert splits.input_columns == ("pitch",)
    assert len(open_inputs([440.0, tones / "t.csv"], TONE)) == 21


def test_the_embedded_data_are_its_own() -> None:
    splits = demo_data(TONE)
    assert (splits.source, splits.classes, len(splits.train)) == ("demo/tones", ("low", "high"), 32)


def test_other_kinds_say_what_is_there_instead(
    tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.modalities, "known_modalities", lambda: (IMAGE, TEXT, TONE))
    with pytest.raises(DataError, match=r"takes texts, .* holds tones"):
        open_data(tones, kind=TEXT)
    (tones / "t.csv").write_text("pitch,label\nlow/1.tone,a\nhigh/2.tone,b\n")
    with pytest.raises(DataError, match=r"'pitch'"):
        open_data(tones / "t.csv", kind=IMAGE)
    with pytest.raises(DataError, match="takes texts, not tones"):
        open_inputs([440.0], TEXT)
