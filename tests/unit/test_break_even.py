"""Compiling is tried where it can pay, kept where it does, and repeated as it was decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.engine import compile_switch
from zoo.engine.break_even import Decision, Expected, Timing, Trial
from zoo.engine.compile_costs import BASE_SECONDS, SECONDS_A_BLOCK, Costs
from zoo.engine.compile_switch import Stretch, Switch
from zoo.engine.compiled import kinds
from zoo.engine.compiled_features import CompiledFeatures
from zoo.engine.compiler import Compiler
from zoo.engine.progress import Quiet
from zoo.errors import UsageError


class Notes(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def steps(count: int, milliseconds: float, waiting: float = 0.0) -> Timing:
    return Timing(count, count * milliseconds / 1000, count * waiting / 1000)


def test_compiling_is_tried_where_the_steps_left_repay_it_and_kept_where_it_is_faster() -> None:
    trial = Trial(Expected(seconds=40, share=0.2))
    assert trial.add(Timing(1, 9.0, 0.0), 5_000) is None  # the first steps are not measured
    assert trial.add(steps(2, 41), 5_000) is None
    started = trial.add(steps(32, 41), 5_000)  # saves 5,000 · 41 ms · 0.2 = 41 s
    assert started is not None
    assert started.verdict == "trial"
    assert started.before == pytest.approx(0.041)
    assert (trial.compiles, trial.soon) == (True, 3)
    assert trial.add(Timing(3, 38.1, 0.0), 4_997) is None
    kept = trial.add(steps(32, 23), 31_304)
    assert kept is not None
    assert kept.verdict == "faster"
    assert kept.in_words("", "a step") == (
        "compiled: 41 to 23 ms a step, 38 s to compile, 12 min left"
    )


@pytest.mark.parametrize(
    ("left", "waiting", "share", "verdict"),
    [
        (5_000, 0, 0.2, "trial"),
        (4_500, 0, 0.2, "too few steps"),
        (5_000, 5, 0.2, "too few steps"),  # data do not come sooner
        (5_000, 0, 0.1, "too few steps"),  # measured before
        (10**6, 0, -0.1, "too few steps"),  # it was slower
    ],
)
def test_what_can_be_saved_must_exceed_the_cost(
    left: int, waiting: float, share: float, verdict: str
) -> None:
    trial = Trial(Expected(seconds=40, share=share))
    trial.add(steps(3, 900), left)
    decision = trial.add(steps(32, 41, waiting), left)
    assert decision is not None
    assert decision.verdict == verdict


def test_a_short_run_says_why_it_is_not_compiled() -> None:
    decision = Decision(verdict="too few steps", before=0.041, seconds=40, left=500, saved=4.1)
    assert decision.in_words("", "a step") == (
        "not compiled: about 40 s to compile, at most 4 s to save in the 20 s left"
    )


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(x).relu()
        return outputs


def test_blocks_are_compiled_where_they_repeat() -> None:
    blocks = [Block(4) for _ in range(6)]
    alike = nn.Sequential(nn.Sequential(*blocks), nn.Linear(4, 2))
    assert (len(kinds(alike)[0]), kinds(alike)[1]) == (6, 1)
    for parameter in blocks[0].parameters():
        parameter.requires_grad = False  # compiled for itself: it has no gradients
    assert kinds(alike)[1] == 2
    assert kinds(nn.Sequential(nn.Sequential(Block(4), Block(5), Block(6)))) == ((), 0)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is compiled; it computes as the network does."""
    found: list[str] = []

    def compiled(call: Callable[..., Any], *_: Any, how: str, **__: Any) -> Callable[..., Any]:
        found.append(how)
        return lambda inputs: call(inputs)

    monkeypatch.setattr(compile_switch, "compiled", compiled)
    monkeypatch.setattr(Compiler, "begin", lambda _: None)
    return found


def switch(
    folder: Path,
    notes: Notes,
    journal: list[dict[str, Any]],
    *,
    requested: str = "auto",
    graphs: bool = False,
    replayed: Sequence[Mapping[str, Any]] | None = None,
    start: int = 0,
) -> Switch:
    cpu, net = torch.device("cpu"), nn.Linear(2, 2)
    compiler = Compiler(requested, cpu, notes, journal, replayed, Costs(folder))
    stretch = Stretch(
        of="full", number=1, net=net, call=net, shapes=(8,), dynamic=False, graphs=graphs
    )
    return Switch(compiler, stretch, start)


def train(taken: Switch, end: int, plain: float, made: list[str], fast: Mapping[str, float]) -> str:
    """Run steps by a given clock; which of them ran how, as a text."""
    ran, unread, seconds, before = "", 0, 0.0, len(made)
    for number in range(end):
        code = taken.call(number)
        kind = made[-1] if code else "plain"
        seconds += fast.get(kind, plain) + (30 if len(made) > before else 0)
        before, unread = len(made), unread + 1
        ran += kind[0]
        if unread >= (taken.soon or 10):
            taken.add(Timing(unread, seconds, 0.0), number + 1, 100_000 - number - 1)
            unread, seconds = 0, 0.0
    return ran


def test_a_repeated_run_compiles_the_same_steps(tmp_path: Path, made: list[str]) -> None:
    notes, journal = Notes(), list[dict[str, Any]]()
    first = switch(tmp_path, notes, journal, graphs=True)
    ran = train(first, 200, 0.05, made, {"code": 0.03, "graphs": 0.02})
    assert made == ["code", "graphs"]
    assert ran == "p" * 30 + "c" * 53 + "g" * 117
    assert notes.notes == [
        "compiled: 50 to 30 ms a step, 30 s to compile, 50 min left",
        "CUDA graphs compiled: 30 to 20 ms a step, 30 s to compile, 33 min left",
    ]
    spans = [(e["how"], e["start"], e["stop"], e["verdict"]) for e in journal]
    assert spans == [("code", 30, 83, "faster"), ("graphs", 83, None, "faster")]
    kept = json.loads(json.dumps(journal))
    again = list[dict[str, Any]]()
    second = switch(tmp_path, notes, again, graphs=True, replayed=kept)
    assert train(second, 200, 0.05, made, {}) == ran  # whatever the clock says
    assert again == kept
    assert len(notes.notes) == 2


def test_what_is_slower_compiled_goes_on_without(tmp_path: Path, made: list[str]) -> None:
    notes, journal = Notes(), list[dict[str, Any]]()
    ran = train(switch(tmp_path, notes, journal), 200, 0.05, made, {"code": 0.06})
    assert ran == "p" * 30 + "c" * 23 + "p" * 147
    assert notes.notes == ["not compiled: 50 ms a step, 60 compiled; 30 s to compile were spent"]
    # The next run of the same network knows it.
    ran = train(switch(tmp_path, notes, []), 200, 0.05, made, {"code": 0.06})
    assert ran == "p" * 200


def test_graphs_that_do_not_pay_leave_the_code(tmp_path: Path, made: list[str]) -> None:
    journal = list[dict[str, Any]]()
    taken = switch(tmp_path, Notes(), journal, graphs=True)
    for number in range(200):
        taken.call(number)
        cost = {0: 0.05, 1: 0.03, 2: 0.04}[len(made)]
        if journal and journal[-1]["how"] == "code":
            cost = 0.03
        taken.add(Timing(1, cost, 0.0), number + 1, 100_000)
    assert [(e["how"], e["verdict"], e["stop"] is None) for e in journal] == [
        ("code", "faster", False), ("graphs", "slower", False), ("code", "faster", True),
    ]  # fmt: skip
    starts = [e["start"] for e in journal]
    assert starts[1:] == [e["stop"] for e in journal[:2]]


def test_a_run_that_stops_within_the_trial_goes_on_with_it(tmp_path: Path, made: list[str]) -> None:
    notes, journal = Notes(), list[dict[str, Any]]()
    train(switch(tmp_path, notes, journal), 35, 0.05, made, {"code": 0.03})
    assert [entry["verdict"] for entry in journal] == ["trial"]
    resumed = switch(tmp_path, notes, journal, start=34)
    assert resumed.call(35)
    for done in range(36, 70):
        resumed.add(Timing(1, 0.03 if done > 38 else 10.0, 0.0), done, 100_000)
    assert [(e["start"], e["stop"], e["verdict"]) for e in journal] == [(30, None, "faster")]
    # Resumed once more, nothing is decided again.
    assert not switch(tmp_path, notes, journal, start=69).decides


def test_an_error_in_the_trial_only_ends_the_trial(tmp_path: Path, made: list[str]) -> None:
    notes, journal = Notes(), list[dict[str, Any]]()
    taken = switch(tmp_path, notes, journal)
    assert train(taken, 31, 0.05, made, {"code": 0.03})[-1] == "c"
    assert taken.failed(RuntimeError("CUDA error"), 31)
    assert taken.call(31) is None
    assert notes.notes == ["not compiled: RuntimeError when compiled"]
    assert [(e["start"], e["stop"], e["verdict"]) for e in journal] == [(30, 31, "failed")]
    assert not taken.failed(RuntimeError("CUDA error"), 31)  # it is the network's


def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(_: Compiler) -> None:
        raise UsageError("others could place code in it", hint="Remove it.")

    monkeypatch.setattr(Compiler, "begin", begin)
    notes = Notes()
    assert train(switch(tmp_path, notes, []), 50, 0.05, made, {}) == "p" * 50
    assert notes.notes == ["not compiled: others could place code in it"]
    with pytest.raises(UsageError):
        switch(tmp_path, notes, [], requested="on").call(0)


@pytest.mark.slow
@pytest.mark.usefixtures("made")
def test_where_compiling_was_asked_for_an_error_of_the_compiler_is_one(tmp_path: Path) -> None:
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

    notes, journal = Notes(), list[dict[str, Any]]()
    taken = switch(tmp_path, notes, journal, requested="on")
    assert taken.call(0)
    assert not taken.failed(RuntimeError("out of memory"), 0)
    with pytest.raises(
        UsageError, match=r"^failed to compile the network: no such thing"
    ) as caught:
        taken.failed(TorchDynamoException("no such thing\nat all"), 0)
    assert "--compile off" in caught.value.hint
    # Shapes without end are no reason to stop; they are told once.
    assert taken.failed(FailOnRecompileLimitHit("limit"), 7)
    assert notes.notes == [
        "not compiled: its code was compiled again too often, for other shapes or parameters"
    ]
    assert (journal[0]["start"], journal[0]["stop"], taken.call(8)) == (0, 7, None)
    again = switch(tmp_path, notes, [], requested="on", replayed=journal)
    assert [bool(again.call(number)) for number in (0, 6, 7)] == [True, True, False]


def test_costs_are_estimated_until_they_are_measured(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "costs")
    guess = Expected(BASE_SECONDS + 3 * SECONDS_A_BLOCK, 0.2)
    assert costs.expected(["a"], "code", 3) == guess
    costs.keep(["a"], "code", Decision(verdict="faster", before=0.04, after=0.03, seconds=12))
    measured = costs.expected(["a"], "code", 3)
    assert measured.seconds == 12
    assert measured.share == pytest.approx(0.25)
    assert costs.expected(["b"], "code", 3) == guess
    for path in (tmp_path / "costs").iterdir():
        path.write_text("damaged")
    assert costs.expected(["a"], "code", 3) == guess


class Doubling:
    """A backbone's runner by a given clock: a batch takes 50 ms, compiled 30."""

    device, precision, ragged = torch.device("cpu"), "fp32", False

    def __init__(self) -> None:
        self.backbone = zoo.load("cnn", weights="none")
        self.seconds, self.ran = 0.0, ""

    def features(
        self, batch: Mapping[str, torch.Tensor], *, exact: bool = False, call: Any = None
    ) -> torch.Tensor:
        assert not exact
        self.ran += "c" if call else "p"
        self.seconds += 0.03 if call else 0.05
        return batch["pixel_values"].flatten(1)


def test_features_are_compiled_by_the_same_rule(tmp_path: Path, made: list[str]) -> None:
    notes, journal = Notes(), list[dict[str, Any]]()
    runner = Doubling()
    compiler = Compiler("auto", runner.device, notes, journal, None, Costs(tmp_path))

    def passed(count: int, what: str) -> str:
        runner.ran, batch = "", {"pixel_values": torch.ones(4, 3)}
        features = CompiledFeatures(runner, compiler, what, count, clock=lambda: runner.seconds)
        for _ in range(count // 4):
            features(batch)
        features({"pixel_values": torch.ones(1, 3)})  # the last one
        return runner.ran

    # Estimated: 10 s, and 6 s for each of 5 layers; a fifth of 50 ms can be saved in a batch.
    assert passed(4 * 3_000, "features of train") == "p" * 3_001
    ran = passed(4 * 5_000, "features of the rest")
    assert ran == "p" * 25 + "c" * 4_975 + "p"
    assert made == ["code"]
    assert notes.notes == [
        "features of train, not compiled: about 40 s to compile, at most 30 s to save "
        "in the 2 min left",
        "features of the rest, compiled: 50 to 30 ms a batch, 0 s to compile, 2 min left",
    ]
