"""``zoo evaluate`` says how far its first metric may be off, by groups where the run has them."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.tasks.optimism import wilson


def _table(path: Path, first: int, groups: int) -> Path:
    rows = [
        f"{'good' if i % 2 else 'bad'} film {first + i},{i % 2},p{(first + i) // 2}"
        for i in range(2 * groups)
    ]
    path.write_text("\n".join(["text,label,patient", *rows]) + "\n")
    return path


@pytest.mark.slow
def test_the_interval_is_printed_and_in_json_and_counts_groups(
    tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = zoo.finetune(
        "lstm",
        _table(tmp_path / "train.csv", 0, 30),
        group_column="patient",
        epochs=1,
        device="cpu",
        report=False,
        reporter=Quiet(),
        output=tmp_path / "run",
    )
    new = _table(tmp_path / "new.csv", 1000, 24)
    found = zoo_cli("evaluate", run.folder, "--data", new, "--metric", "accuracy", "--json").json
    interval = found["interval"]
    assert (interval["metric"], interval["unit"], interval["units"]) == ("accuracy", "groups", 24)
    assert (interval["samples"], interval["epochs"]) == (48, 1)
    accuracy = found["metrics"]["accuracy"]
    assert interval["value"] == pytest.approx(accuracy)
    if interval["method"] == "wilson":  # all groups have the same share
        ends = wilson(accuracy, 24)
        assert (interval["low"], interval["high"]) == pytest.approx(ends)
    assert interval["low"] <= accuracy <= interval["high"]
    printed = zoo_cli("evaluate", run.folder, "--data", new, "--metric", "accuracy").out
    shown = f"{interval['low']:.4f} to {interval['high']:.4f}"
    assert f"95 % interval of the accuracy: {shown}" in printed
    assert "of 24 groups)" in printed
    few = _table(tmp_path / "few.csv", 2000, 6)
    assert zoo_cli("evaluate", run.folder, "--data", few, "--json").json["interval"] is None
    assert "interval" not in zoo_cli("evaluate", run.folder, "--data", few).out
