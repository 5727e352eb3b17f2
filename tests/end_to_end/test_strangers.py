"""Heads and strategies of distributions written from the documentation alone."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


MIXER = """
    import zoo

    @zoo.hookimpl
    def zoo_backbones():
        yield zoo.BackboneSpec(
            name="halves", modality="image", feature_dim=6, params=0,
            input=zoo.ImageInput(size=8, min_size=2), loader="{module}:load", license="MIT",
        )

    def load(spec):
        from torch import nn

        net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten())
        nn.init.dirac_(net[0].weight)
        return zoo.Backbone.wrap(net, spec=spec, head="head", stages={"all": ["0"]})

    @zoo.hookimpl
    def zoo_heads():
        return {"mixer": mixer}

    def mixer(feature_dim, outputs):
        from torch import nn

        return nn.Sequential(
            nn.Linear(feature_dim, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU(),
            nn.Linear(32, outputs),
        )
"""


@pytest.mark.slow
def test_a_mixer_head_learns_what_a_linear_one_cannot(
    strangers: Strangers, tmp_path: Path, zoo_cli: Zoo
) -> None:
    """Classes are the exclusive or of two halves: a linear head is at chance."""
    strangers.install("halves", MIXER)
    generator = np.random.default_rng(0)
    for number in range(160):
        left, right = number % 2, number // 2 % 2
        pixels = generator.integers(0, 60, (8, 8, 3), dtype=np.uint8)
        pixels[:, :4] += np.uint8(180 * left)
        pixels[:, 4:] += np.uint8(180 * right)
        folder = tmp_path / "halves" / ("same" if left == right else "different")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    accuracies, solvers = [], []
    for head in ("linear", "mixer"):
        done = zoo_cli(
            *("finetune", "halves/halves", "--data", tmp_path / "halves", "--weights", "none"),
            *("--strategy", "two-stage", "--head", head, "--epochs", 1, "--workers", 0),
            *("--output", tmp_path / head, "--no-report", "--json"),
        )
        assert done.code == 0, done.err
        accuracies.append(done.json["metrics"]["accuracy"])
        record = json.loads((tmp_path / head / "run.json").read_text())
        solvers.append(record["phases"][0]["solver"])
    assert solvers == ["lbfgs", "adamw"]
    assert accuracies[0] < 0.8
    assert accuracies[1] == 1.0


@pytest.mark.parametrize(
    "command",
    [
        ("nothing", "--no-plugin", "acme"),
        ("--help", "--no-plugin=acme"),
    ],
)
def test_a_switched_off_plugin_is_not_even_asked_for_its_commands(
    strangers: Strangers, zoo_cli: Zoo, command: tuple[str, ...]
) -> None:
    module = strangers.install("acme", SLOWLY)
    zoo_cli(*command)
    assert module not in sys.modules
    zoo_cli("list", "acme/*")
    assert module in sys.modules
