"""Runs that end within a time limit, by a clock of the test: a step takes a second."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import zoo
from zoo.engine import learner, readings
from zoo.engine.progress import Quiet
from zoo.engine.time_limit import TimeLimit
from zoo.errors import Stopped, UsageError
from zoo.training import train

DATA = [("good film", "yes"), ("bad film", "no"), ("fine film", "yes"), ("poor film", "no")] * 25
STEPS = 5  # an epoch of 80 training samples


class Clock(Quiet):
    """A reporter that makes time pass: a second with every step."""

    def __init__(self, *, step: float = 1.0, stop_at: int = 0) -> None:
        self.began = self.now = time.perf_counter()
        self.step, self.stop_at = step, stop_at
        self.notes: list[str] = []
        self.facts: dict[str, str] = {}
        self.factors: list[float] = []

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    def header(self, facts: Any) -> None:
        self.facts |= facts

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Any]:
        def advance() -> None:
            self.now += self.step * (what == "validate")
            self.stop_at -= 1
            if self.stop_at == 0:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Trains with a clock; keeps the factors on the learning rate."""
    made, taken = learner.schedule, learner.Learner.step

    def use(clock: Clock) -> None:
        def limit(seconds: float, began: float, **options: Any) -> TimeLimit:
            clock.began = clock.now = began
            return TimeLimit(seconds, began, clock=clock.perf_counter, **options)

        monkeypatch.setattr(train, "TimeLimit", limit)
        monkeypatch.setattr(readings, "time", SimpleNamespace(perf_counter=clock.perf_counter))

        def kept(*facts: Any) -> Any:
            factor = made(*facts)

            def at(step: float) -> float:
                clock.factors.append(factor(step))
                return clock.factors[-1]

            return at

        def step(self: Any, *given: Any) -> Any:
            clock.now += clock.step
            return taken(self, *given)

        monkeypatch.setattr(learner, "schedule", kept)
        monkeypatch.setattr(learner.Learner, "step", step)

    def trained(clock: Clock, name: str, **options: Any) -> zoo.Run:
        use(clock)
        usual = {"strategy": "full", "batch_size": 16, "precision": "fp32", "compile": "off"}
        usual |= {"output": tmp_path / name, "report": False, "reporter": clock}
        return zoo.finetune("lstm", DATA, **usual | options)

    trained.use = use
    return trained


def test_a_run_trains_what_fits_and_its_schedule_ends(timed: Any, tmp_path: Path) -> None:
    clock = Clock()
    run = timed(clock, "run", epochs=50, time_limit="40s")
    epochs = len(run.epochs())
    assert clock.facts["time limit"].startswith("40 s from start to report")
    assert 30 <= clock.now - clock.began <= 40
    closing = 1.1 * 100 / 16 / 2  # batches of both splits, of which validation takes 2 a second
    steps = run.record["results"]["cuts"][-1][2]
    assert steps + epochs <= 38 - closing < steps + epochs + 1.1 * STEPS + 1  # one more
    assert steps == epochs * STEPS
    said = [note for note in clock.notes if note.startswith("time limit")]
    assert said[-1].endswith(f"{epochs} of 50 epochs of full fit")
    assert run.record["request"]["time_limit"] == 40
    assert max(clock.factors) > 0.9
    assert clock.factors[-1] < 0.001  # as the last of 250 steps
    again = zoo.rerun(run, data=DATA, output=tmp_path / "again", report=False, reporter=Quiet())
    assert again.identical
    assert len(again.second.epochs()) == epochs


def test_a_limit_longer_than_the_recipe_changes_nothing(timed: Any) -> None:
    whole = timed(Clock(), "whole", epochs=2)
    limited = timed(Clock(), "limited", epochs=2, time_limit="1h")
    assert limited.record["results"]["cuts"] == []
    assert limited.record["sha256"] == whole.record["sha256"]


def test_a_resumed_run_counts_what_was_spent(timed: Any, tmp_path: Path) -> None:
    first = Clock(stop_at=3 * STEPS)
    with pytest.raises(Stopped):
        timed(first, "run", epochs=50, time_limit=60)
    second = Clock()
    timed.use(second)
    run = zoo.resume(tmp_path / "run", data=DATA, reporter=second, report=False)
    both = first.now - first.began + second.now - second.began
    assert 45 < both <= 60
    assert second.factors[-1] < 0.001
    again = zoo.rerun(run, data=DATA, output=tmp_path / "again", report=False, reporter=Quiet())
    assert again.identical


def test_too_short_for_an_epoch_says_what_is_possible(timed: Any, tmp_path: Path) -> None:
    clock = Clock(step=10)
    with pytest.raises(
        UsageError, match=r"60 s is too short: one epoch of full takes about 66 s"
    ) as caught:
        timed(clock, "run", time_limit=60)
    assert "Use a limit of" in caught.value.hint
    assert clock.now - clock.began < 60
    assert not (tmp_path / "run").exists()


def test_the_probe_is_kept_where_no_epoch_after_it_fits(timed: Any, tmp_path: Path) -> None:
    clock = Clock(step=20)  # L-BFGS takes none of these
    run = timed(clock, "run", strategy="two-stage", time_limit=60)
    assert {line["phase"] for line in run.epochs()} == {"probe"}
    assert any("keeping what has been trained" in note for note in clock.notes)
    assert run.record["results"]["cuts"] == [[1, 0, 0]]
    again = zoo.rerun(run, data=DATA, output=tmp_path / "again", report=False, reporter=Quiet())
    assert again.identical


@pytest.mark.parametrize("given", [0, "0", "abc", "-5", "nan", True, "5 weeks"])
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="must be a time greater than 0"):
        zoo.finetune("lstm", DATA, time_limit=given)


def test_a_limit_with_folds_or_a_range_test_is_refused() -> None:
    with pytest.raises(UsageError, match="does not work with"):
        zoo.finetune("lstm", DATA, time_limit=60, folds=2)
    with pytest.raises(UsageError, match="no effect with"):
        zoo.find_lr("lstm", DATA, time_limit=60)
