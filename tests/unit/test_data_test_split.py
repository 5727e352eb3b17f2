"""A part set aside for a test: stratified, by groups, and the same in a later evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.engine.progress import Quiet
from zoo.errors import UsageError
from zoo.runs.request import Request

OPTIONS = {"epochs": 1, "precision": "fp32", "report": False, "reporter": Quiet()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """60 texts of two classes, in 20 groups of three."""
    rows = [f"text number {i},{'yes' if i % 2 else 'no'},p{i // 3}" for i in range(60)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label,patient", *rows]))
    return path


def test_the_part_is_neither_trained_nor_validated_on(table: Path, tmp_path: Path) -> None:
    run = zoo.finetune("lstm", table, test_split=0.2, output=tmp_path / "run", **OPTIONS)
    data = run.record["data"]
    assert (data["train"], data["val"], data["test"]) == (38, 10, 12)
    found = run.evaluate(table, reporter=Quiet())
    assert {name: each.samples for name, each in found.items()} == {"val": 10, "test": 12}
    assert {name: each.left_out + each.trained_on for name, each in found.items()} == {
        "val": 0,
        "test": 0,
    }
    assert [row["support"] for row in found["test"].per_class.values()] == [6, 6]
    assert found["val"].metrics["accuracy"] == pytest.approx(run.metrics["accuracy"])


def test_no_group_is_divided(table: Path, tmp_path: Path) -> None:
    run = zoo.finetune(
        "lstm", table, test_split=0.3, group_column="patient", output=tmp_path / "run", **OPTIONS
    )
    assert run.record["data"]["shared_groups"] == []
    _, samples, _ = run.evaluated(table, split="test", reporter=Quiet())
    assert samples is not None
    assert 12 <= len(samples) <= 24
    _, counts = np.unique(samples.groups, return_counts=True)
    assert set(counts) == {3}


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"test.split must be in \[0, 1\)"):
        Request.from_options("lstm", "texts.csv", {"test_split": 1.0})
