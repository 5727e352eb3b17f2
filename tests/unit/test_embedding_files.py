"""Files of features and of the rows that they are of: both new, or none of the old beside the new."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo.data import Samples
from zoo.data.rows import Rows
from zoo.data.samples import Listed
from zoo.embedding_files import write_features


class Killed(BaseException):
    """The process has ended: nothing is tidied."""


def write(path: Path, count: int) -> None:
    texts = tuple(f"text {number}" for number in range(count))
    samples = Samples("text", Listed(texts, texts))
    rows = Rows(splits={"all": samples}, classes=(), task=None, skipped=(), notes=())
    write_features(path, rows, {"all": np.full((count, 3), count, dtype=np.float32)})


def test_a_kill_between_two_renames_leaves_no_rows_of_other_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "h.npy", tmp_path / "h.jsonl"
    write(path, 60)
    assert len(names.read_text().splitlines()) == len(np.load(path)) == 60
    replace = Path.replace

    def killed_after(self: Path, target: Path) -> Path:
        replace(self, target)
        raise Killed

    monkeypatch.setattr(Path, "replace", killed_after)
    with pytest.raises(Killed):
        write(path, 6)
    assert len(np.load(path)) == 6
    assert not names.exists()
    monkeypatch.undo()
    write(path, 6)
    lines = [json.loads(line)["input"] for line in names.read_text().splitlines()]
    assert lines == [f"text {number}" for number in range(6)]
