"""Heads and strategies of distributions written from the documentation alone."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.strangers import Strangers
from zoo.errors import RunError

SLOWLY = """
    import zoo

    @zoo.hookimpl
    def zoo_strategies():
        return {"slowly": slowly}

    @zoo.hookimpl
    def zoo_heads():
        return {"deep": "{module}:deep"}

    def slowly(recipe, stages):
        return [
            zoo.Phase(name="head", epochs=1, lr=recipe.probe_lr, trains_backbone=False),
            zoo.Phase(name="all", epochs=recipe.epochs, lr=recipe.lr),
        ]

    def deep(feature_dim, outputs):
        from torch import nn

        return nn.Sequential(nn.Linear(feature_dim, 8), nn.GELU(), nn.Linear(8, outputs))
"""


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Strangers:
    return Strangers(tmp_path, monkeypatch)


def test_a_run_needs_the_plugin_of_its_head_and_respects_the_freeze(
    strangers: Strangers, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    module, run = strangers.install("acme", SLOWLY), tmp_path / "run"
    stages = [stage.name for stage in zoo.load("cnn", weights="none").stages()]
    common = ("finetune", "cnn", "--data", photos, "--epochs", 1, "--workers", 0, "--no-report")
    common += ("--image-size", 32, "--freeze-until", stages[-2])
    done = zoo_cli(*common, "--strategy", "slowly", "--head", "deep", "--output", run)
    assert done.code == 0, done.err
    opened = zoo.open_run(run).backbone
    paths = opened.stage_parameters(stages[-1])
    last = sum(p.numel() for path, p in opened.net.named_parameters() if path in paths)
    head = sum(p.numel() for p in opened.head.parameters())
    (line,) = [line for line in done.err.splitlines() if line.startswith("  all ")]
    assert f"trains {last + head:,} of" in line
    record = json.loads((run / "run.json").read_text())
    assert (record["head"], record["strategy"]) == ("acme/deep", "acme/slowly")
    assert record["plugins"]["acme"] == {
        "distribution": "zoo-acme", "version": "0.1",
        "opening": ["head 'acme/deep'"], "training": ["strategy 'acme/slowly'"],
    }  # fmt: skip

    sys.modules.pop(module)
    for command in (("evaluate", run, "--data", photos), ("predict", run, photos / "red")):
        off = zoo_cli(*command, "--no-plugin", "acme")
        assert (off.code, "'acme' (zoo-acme 0.1) for the head 'acme/deep'" in off.err) == (1, True)
        assert module not in sys.modules, "a switched-off plugin is not imported"
    shutil.rmtree(strangers.metadata("acme"))
    with pytest.raises(RunError, match="it is not installed") as told:
        zoo.open_run(run).load()
    assert "pip install zoo-acme==0.1" in told.value.hint
