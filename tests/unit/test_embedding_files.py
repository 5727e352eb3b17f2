"""Files of features and of the rows that they are of: both new, or none of the old beside the new."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from zoo.data.rows import Rows
from zoo.data.samples import Samples
from zoo.data.sequences import Listed
from zoo.embedding.files import write_features
from zoo.modalities import TEXT
from zoo.system import files

WRITES_OFTEN = """
import sys
import threading
from pathlib import Path
from tests.unit.test_embedding_files import write
for _ in range(12):
    write(Path(sys.argv[1]), int(sys.argv[2]))
"""


class Killed(BaseException):
    """The process has ended: nothing is tidied."""


def write(path: Path, count: int) -> None:
    texts = tuple(f"text {number}" for number in range(count))
    samples = Samples(TEXT, Listed(texts, texts))
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


@pytest.mark.long
def test_features_and_rows_are_of_one_process_when_two_write_them_at_once(tmp_path: Path) -> None:
    path = tmp_path / "h.npy"
    both = [
        subprocess.Popen([sys.executable, "-c", WRITES_OFTEN, str(path), count])
        for count in ("3", "6")
    ]
    seen = set()
    while any(process.poll() is None for process in both):
        if path.exists():
            with files.alone_in(tmp_path):
                rows = (tmp_path / "h.jsonl").read_text().splitlines()
                seen.add((len(np.load(path)), len(rows)))
        time.sleep(0.005)  # without which this process takes what the two others need
    assert [process.returncode for process in both] == [0, 0]
    assert seen <= {(3, 3), (6, 6)}
    assert sorted(found.name for found in tmp_path.iterdir()) == ["h.jsonl", "h.npy"]


def test_who_comes_second_to_a_folder_waits(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with files.alone_in(tmp_path):
            order.append("second")

    with files.alone_in(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
