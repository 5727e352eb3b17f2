"""What the console prints of an epoch."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.engine.progress import Console
from zoo.system.plurals import counted

EPOCH: dict[str, Any] = {
    "phase": "full",
    "epoch_of_phase": 1,
    "train_loss": 1.5,
    "loss": 0.75,
    "metric": "accuracy",
    "accuracy": 0.5,
    "samples_per_second": 100.0,
    "best": True,
}


@pytest.mark.parametrize(
    ("waiting", "words"), [(0.19, ""), (0.2, "20% of the time"), (0.24, "24% of the time")]
)
def test_an_epoch_mentions_waiting_for_data_from_a_fifth_of_the_time(
    waiting: float, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Console().epoch({**EPOCH, "waiting": waiting, "padding": 0.03}, 4)
    line = capsys.readouterr().err
    assert line.startswith("full 1/4  train loss 1.5000  val loss 0.7500  val accuracy 0.5000")
    assert "padding 3%" in line
    assert words in line
    assert ("waiting for data" in line) == bool(words)


def test_the_best_epoch_is_named_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Console().epoch(EPOCH, 4)
    Console().epoch({**EPOCH, "best": False}, 4)
    best, other = capsys.readouterr().err.splitlines()
    assert best.endswith("100/s  best")
    assert other.endswith("100/s")


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 file"), (0, "0 files"), (1234, "1,234 files"), (1.5, "1.5 files")]
)
def test_one_thing_is_not_in_the_plural(count: float, words: str) -> None:
    assert counted(count, "file") == words
