"""Features of a frozen backbone are computed in batches whose size is measured, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo
from zoo.engine import extraction
from zoo.engine.batch_size import MeasuredBatch
from zoo.engine.progress import Quiet


class Said(Quiet):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_probe_computes_its_features_in_measured_batches_once(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    def sized(*_: object) -> MeasuredBatch:
        given.append(5)
        return MeasuredBatch(5, {5: 100.0})

    monkeypatch.setattr(extraction, "is_measured", lambda _: True)
    monkeypatch.setattr(extraction, "measure_features", sized)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    runs = []
    for number in range(2):
        reporter = Said()
        runs.append(
            zoo.finetune(
                "cnn", few, weights="none", strategy="probe", image_size=16, workers=0,
                output=tmp_path / str(number), reporter=reporter, report=False,
            )
        )  # fmt: skip
        said = [note for note in reporter.notes if "features in batches of 5" in note]
        assert len(said) == (number == 0)
    assert given == [5]  # once for all views, and not for features that are cached
    facts = [json.loads(path.read_text()) for path in (tmp_path / "cache/features").glob("*.json")]
    assert {f["split"]: f.get("batch") for f in facts if "features" in f} == {
        "train": 5,
        "val": None,
    }
    assert runs[0].metrics == runs[1].metrics
