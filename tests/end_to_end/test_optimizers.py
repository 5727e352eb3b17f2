"""Optimisers by name: torch's, timm's, a strategy's choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.end_to_end.test_resume import StopsAt
from zoo.engine import strategies
from zoo.engine.progress import Quiet
from zoo.errors import NameLookupError, Stopped


def train(data: Path, folder: Path, **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"epochs": 2, "strategy": "full", "batch_size": 4, "image_size": 16}
    usual |= {"workers": 0, "lr": 0.01, "report": False, "reporter": Quiet()}
    return zoo.finetune("cnn", data, **usual | options, output=folder)


@pytest.mark.parametrize("name", ["sgd", "lamb"])  # the second counts steps in its groups
def test_a_stopped_run_goes_on_with_any_optimizer_to_the_same_bytes(
    few: Path, tmp_path: Path, name: str
) -> None:
    whole = train(few, tmp_path / "whole", optimizer=name)
    with pytest.raises(Stopped):
        train(few, tmp_path / "run", optimizer=name, reporter=StopsAt(3))
    run = zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    adamw = train(few, tmp_path / "adamw")
    assert adamw.record["sha256"] != whole.record["sha256"]
    plugins = run.record["plugins"]
    assert run.record["recipe"]["optimizer"] == ("timm/lamb" if name == "lamb" else "sgd")
    assert ("timm" in plugins) == (name == "lamb")


def test_a_strategy_may_name_the_optimizer_of_a_phase(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(few, tmp_path / "sgd", optimizer="sgd").record["sha256"]

    def named(recipe: Any, stages: Any) -> list[zoo.Phase]:
        return [replace(phase, optimizer="sgd") for phase in strategies.full(recipe, stages)]

    monkeypatch.setitem(strategies.STRATEGIES, "full", named)  # type: ignore[arg-type]
    assert train(few, tmp_path / "named").record["sha256"] == expected


def test_an_unknown_optimizer_is_refused_with_the_closest_one(few: Path, tmp_path: Path) -> None:
    with pytest.raises(NameLookupError, match=r"no optimizer is called 'sgdd'.*'sgd'") as error:
        train(few, tmp_path / "run", optimizer="sgdd")
    assert "timm/lion" in error.value.hint
    assert not (tmp_path / "run").exists()
