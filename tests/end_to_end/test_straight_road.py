"""A fine-tune asks nothing twice, changes nothing to describe it, and reads nothing back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.engine.phase_facts import phase_facts, without_values
from zoo.engine.progress import Quiet
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import STRATEGIES
from zoo.engine.trainable import choose_trained, trained_names


@pytest.mark.slow
def test_each_step_is_called_once_and_nothing_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    weights = tmp_path / "weights.safetensors"
    zoo.load("cnn", weights="none")
    start = zoo.finetune("cnn", classes=2, epochs=1, workers=0, strategy="full", weights="none",
                         output=tmp_path / "start", report=False, reporter=Quiet())  # fmt: skip
    weights.write_bytes((start.folder / "model.safetensors").read_bytes())
    calls: Counter[str] = Counter()

    def counted(place: str) -> None:
        module, _, name = place.rpartition(".")
        original: Callable[..., Any] = getattr(__import__(module, fromlist=[name]), name)

        def call(*given: Any, **options: Any) -> Any:
            calls[place] += 1
            return original(*given, **options)

        monkeypatch.setattr(place, call)

    once = [
        "zoo.training.plan.find_strategy",
        "zoo.training.start.fetch",
        "zoo.training.start.build",
    ]
    once += ["zoo.training.opened.tasks_for", "zoo.training.finetune.prepare"]
    never = [
        "zoo.weights.loading.build.fetch",
        "zoo.runs.opened.task_from_json",
        "zoo.runs.opened.read_record",
    ]
    never += ["zoo.runs.opened.read_predictions", "zoo.runs.opened.read_history"]
    for place in (*once, *never):
        counted(place)
    run = zoo.finetune("cnn", classes=2, epochs=1, workers=0, weights=str(weights),
                       output=tmp_path / "run", reporter=Quiet())  # fmt: skip
    assert calls == Counter(dict.fromkeys(once, 1))
    assert (run.folder / "report.html").is_file()
    parts = run.record["results"]["parts"]
    assert {"data", "network", "training", "validation"} <= parts.keys()
    assert parts["training"] > 0
    monkeypatch.undo()
    again = zoo.open_run(run.folder)
    assert run.record == again.record
    kept, read = run.evaluated()[0], again.evaluated()[0]
    assert kept.inputs == read.inputs
    assert kept.outputs.tolist() == read.outputs.tolist()
    assert kept.labels.tolist() == read.labels.tolist()


@pytest.mark.parametrize("strategy", ["lora", "two-stage", "gradual", "bias"])
def test_what_a_phase_trains_is_found_without_changing_the_network(strategy: str) -> None:
    backbone = zoo.load("lstm" if strategy == "bias" else "cnn", weights="none", classes=3)
    modality = backbone.spec.modality
    recipe = Recipe.default(modality, pretrained=True).changed(strategy=strategy)
    phases = list(STRATEGIES[strategy](recipe, ()))
    before = [(n, p.requires_grad, p.data_ptr()) for n, p in backbone.named_parameters()]
    drawn = torch.get_rng_state()
    facts = phase_facts(without_values(backbone), phases, recipe)
    assert [(n, p.requires_grad, p.data_ptr()) for n, p in backbone.named_parameters()] == before
    assert torch.equal(torch.get_rng_state(), drawn)
    for phase, found in zip(phases, facts, strict=True):  # as they will really train
        choose_trained(backbone, phase, recipe)
        parameters, names = dict(backbone.named_parameters()), trained_names(backbone)
        assert found.trained == sum(parameters[name].numel() for name in names)
        assert found.total == sum(p.numel() for p in parameters.values())
