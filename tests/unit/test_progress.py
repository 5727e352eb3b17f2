"""What the console prints of an epoch."""

from __future__ import annotations

import io
import math
import re
import sys
from typing import Any

import pytest

from zoo.engine.live_view import sparkline
from zoo.engine.progress import Console
from zoo.system.colour import coloured
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


class Terminal(io.StringIO):
    """A terminal of standard error."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, width: int, **environment: str) -> tuple[str, list[str]]:
    """What a terminal gets of an epoch of three steps after two others, and its lines in plain text."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(width), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    console = Console()
    console.epoch(EPOCH, 4)
    console.epoch({**EPOCH, "epoch_of_phase": 2, "accuracy": 0.25, "best": False}, 4)
    with console.steps("full 3/4", 3) as advance:
        console.reading(1.25, 200.0)
        for _ in range(3):
            advance()
    raw = stream.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", re.sub(r"\x1b\[[0-9;]*m", "", raw))
    return raw, [line for line in re.split(r"[\r\n]+", plain) if line]


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_view_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    raw, lines = shown(monkeypatch, width)
    assert all(len(line) <= width for line in lines)
    facts = "loss 1.2500  200 samples/s  accuracy 0.2500  best 0.5000  █▁"
    assert facts in [line.rstrip() for line in lines]
    assert any(re.match(r"full 3/4 ━+ 3/3 00:00 left", line) for line in lines)
    assert "\x1b[32mbest\x1b[0m" in raw


def test_there_are_no_colours_where_none_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, _ = shown(monkeypatch, 80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", raw)
    raw, lines = shown(monkeypatch, 80, TERM="dumb")
    assert "\x1b" not in raw
    assert len(lines) == 2


def test_forced_colours_make_no_terminal_of_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    with console.steps("full 1/4", 1) as advance:
        advance()
    console.epoch(EPOCH, 4)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("100/s  \x1b[32mbest\x1b[0m")
    assert coloured("Error:", "red", sys.stderr) == "\x1b[31mError:\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("Error:", "red", sys.stderr) == "Error:"


def test_a_sparkline_has_one_bar_for_each_value() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "▁▁"
    assert sparkline([math.nan, 0.0, 1.0]) == " ▁█"
    assert sparkline([math.nan]) == " "
