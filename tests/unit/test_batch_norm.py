"""Batch normalisation: batches of one sample, stored statistics; long lists of classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.cli.evaluate import _print_details
from zoo.engine.batch_norm import (
    refuse_batch_norm,
    refuse_single_sample_batches,
    training_norms,
)
from zoo.engine.forward import Forward
from zoo.engine.micro_batches import micro_batches
from zoo.engine.phase_facts import phase_facts, without_values
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import STRATEGIES
from zoo.errors import UsageError
from zoo.tasks.single_label import SingleLabel


def check(size: int, strategy: str = "full", **overrides: object) -> None:
    backbone = zoo.load("resnet18", weights="none", classes=2)
    recipe = Recipe.default("image", pretrained=False).changed(strategy=strategy, **overrides)
    forward = Forward(backbone, device=torch.device("cpu"), precision="fp32")
    example = {"pixel_values": torch.rand(1, 3, size, size)}
    facts = phase_facts(without_values(backbone), list(STRATEGIES[strategy](recipe, ())), recipe)
    norms = [name for phase in facts for name in phase.batch_norms]
    refuse_single_sample_batches(forward, norms, recipe, lambda: example)
    if strategy == "full":
        backbone.train()
        backbone(example)  # what would stop training in its midst


@pytest.mark.parametrize("overrides", [{"batch_size": 1}, {"batch_size": 4, "accumulate": 3}])
def test_batches_of_one_that_batch_norm_cannot_train_on_are_refused(overrides: dict) -> None:
    with pytest.raises(UsageError, match=r"'net\.layer4") as error:
        check(32, **overrides)
    assert "at least 2 samples" in error.value.hint


def test_batches_of_one_are_taken_where_maps_are_large_or_normalisation_is_frozen() -> None:
    check(64, batch_size=1)
    check(32, "probe", batch_size=1, epochs=1)


@pytest.mark.parametrize(("samples", "count"), [(5, 16), (33, 16), (32, 4), (3, 2), (2, 2), (1, 4)])
def test_no_part_of_a_step_has_one_sample_where_two_are_needed(samples: int, count: int) -> None:
    targets = torch.arange(samples)
    found = [own for _, own in micro_batches(targets, targets, count, 2)]
    assert torch.equal(torch.cat(found), targets)
    assert len(found) <= count
    assert min(map(len, found)) >= min(2, samples)
    assert max(map(len, _parts_of_one(targets, samples))) == 1


def _parts_of_one(targets: torch.Tensor, samples: int) -> list[torch.Tensor]:
    return [own for _, own in micro_batches(targets, targets, samples, 1)]


def test_batch_norm_is_found_where_it_trains() -> None:
    backbone = zoo.load("cnn", weights="none", classes=2)
    assert training_norms(backbone)
    backbone.freeze()
    assert not training_norms(backbone)
    assert isinstance(backbone.net, nn.Module)


def test_stored_statistics_stay_and_scale_and_shift_train() -> None:
    backbone = zoo.load("cnn", weights="none", classes=2)
    backbone.freeze_statistics()
    assert not backbone.fixed_norms  # random initialisation: nothing was measured
    pixels = {"pixel_values": torch.rand(8, 3, 32, 32) + 3}
    backbone.train()(pixels)
    *measured, last = [
        module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)
    ]
    last.reset_running_stats()  # a new layer
    backbone.freeze_statistics()
    assert list(backbone.fixed_norms) == measured
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in measured]
    backbone.train()(pixels).sum().backward()
    for norm, (mean, var) in zip(measured, before, strict=True):
        assert torch.equal(norm.running_mean, mean)
        assert torch.equal(norm.running_var, var)
        assert norm.weight.grad.abs().max() > 0
    assert last.running_mean.abs().max() > 0
    assert [module.training for module in (*measured, last)] == [*(False for _ in measured), True]
    assert training_norms(backbone)


@pytest.mark.parametrize(
    ("strategy", "value", "measured"),
    [("full", "stored", False), ("probe", "batch", True), ("lora", "stored", True)],
)
def test_a_choice_of_statistics_that_changes_nothing_is_refused(
    strategy: str, value: str, measured: bool
) -> None:
    backbone = zoo.load("cnn", weights="none", classes=2)
    if measured:
        backbone.train()({"pixel_values": torch.rand(8, 3, 32, 32)})
    backbone.freeze_statistics()
    recipe = Recipe.default("image", pretrained=measured, strategy=strategy)
    phases = list(STRATEGIES[strategy](recipe, ()))
    twin = without_values(backbone)
    with pytest.raises(UsageError, match=f"{value}.* has no effect: no batch normalisation"):
        refuse_batch_norm(twin, phases, recipe, {"batch_norm": value})
    refuse_batch_norm(twin, phases, recipe, {})


@pytest.mark.long
def test_an_evaluation_of_3000_classes_fits_on_a_screen_and_in_a_small_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = np.repeat(np.arange(3000), 2)
    said = labels.copy()
    said[:6] = 7  # classes 0, 1 and 2 are all taken for 7
    logits = torch.nn.functional.one_hot(torch.from_numpy(said), 3000).float()
    result = SingleLabel().evaluation(logits, labels, [f"class {k}" for k in range(3000)])
    assert result.confusions() == [(f"class {k}", "class 7", 2) for k in range(3)]
    document = json.dumps(result.to_json())
    assert len(document) < 500_000
    assert json.loads(document)["confusions"][0] == {
        "true": "class 0",
        "predicted": "class 7",
        "samples": 2,
    }
    _print_details(result)
    printed = capsys.readouterr().out
    assert len(printed) < 10_000
    assert "the 40 weakest of 3,000 classes; --json has all" in printed
    assert printed.index("class 0 ") < printed.index("class 7 ")
