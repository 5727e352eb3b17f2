"""Training in float16 with loss scaling, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests.end_to_end.test_resume import StopsAt
from zoo.engine import readings
from zoo.engine.checkpoint import STATE
from zoo.engine.progress import Console, Quiet
from zoo.errors import RunError, Stopped, UsageError


def train(data: Path, folder: Path, **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"epochs": 2, "strategy": "full", "batch_size": 2, "image_size": 16}
    usual |= {"workers": 0, "precision": "fp16", "report": False, "reporter": Quiet()}
    PASSES["count"] = -1
    return zoo.finetune("cnn", data, **usual | options, output=folder)


PASSES = {"count": 0}
"""Backward passes so far."""


def overflowing(backbone: zoo.Backbone, *passes: int) -> None:
    """Make the gradient of one parameter infinite in some backward passes."""

    def changed(gradient: torch.Tensor) -> torch.Tensor:
        PASSES["count"] += 1
        return gradient * torch.inf if PASSES["count"] in passes else gradient

    next(backbone.net.parameters()).register_hook(changed)


# The first pass, of which the count is 0, is the test of whether the network works in float16.
def twice(backbone: zoo.Backbone) -> None:
    overflowing(backbone, 2, 6)


def always(backbone: zoo.Backbone) -> None:
    overflowing(backbone, *range(1, 99))


def never(backbone: zoo.Backbone) -> None:
    overflowing(backbone, 0)


def test_a_gradient_that_overflows_skips_its_step_and_halves_the_scale(
    few: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(few, tmp_path / "run", surgery=twice, reporter=Console())
    assert run.history["skipped_steps"].tolist() == [1, 1]
    assert capfd.readouterr().err.count("1 step skipped (loss scaling)") == 2
    assert run.record["precision"] == "fp16"
    for tensor in run.backbone.state_dict().values():
        assert tensor.isfinite().all()


def test_a_gradient_that_never_is_finite_stops_the_run(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "MOST_SKIPPED", 6)
    with pytest.raises(
        RunError, match=r"gradient became (inf|nan) in step 2 of epoch 2 .* 5 steps"
    ):
        train(few, tmp_path / "run", surgery=always)
    with pytest.raises(UsageError, match="does not work in float16"):
        train(few, tmp_path / "run", surgery=never)
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on_with_its_loss_scale(few: Path, tmp_path: Path) -> None:
    whole = train(few, tmp_path / "whole", surgery=twice)
    with pytest.raises(Stopped):
        train(few, tmp_path / "run", surgery=twice, reporter=StopsAt(3))
    state = load_file(tmp_path / "run" / "last" / STATE)
    assert state["learner/loss_scale/scale"] == 32768
    PASSES["count"] -= 1
    run = zoo.resume(tmp_path / "run", surgery=twice, reporter=Quiet(), report=False)
    assert run.history["skipped_steps"].tolist() == [1, 1]
    assert run.history["train_loss"].tolist() == whole.history["train_loss"].tolist()
    assert run.record["sha256"] == whole.record["sha256"]
