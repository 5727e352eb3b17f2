"""The measured batch size: throughput, memory, the learning rate, and nothing of the network changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from tests.end_to_end.test_engine_options import FullBeyond, narrow
from zoo.contract.network.backbone import Backbone
from zoo.engine import batch_size
from zoo.engine.batch_size import (
    MeasuredBatch,
    largest,
    measure,
    measure_features,
    with_batch_size,
)
from zoo.engine.forward import Forward
from zoo.engine.progress import Quiet
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import STRATEGIES
from zoo.training import plan

CPU = torch.device("cpu")


@pytest.fixture
def few_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples are the usual batch."""
    monkeypatch.setattr(batch_size, "USUAL", 2)


def small() -> Backbone:
    return zoo.load("cnn", weights="none", classes=2)


def clock_of(seconds: Callable[[int], float], backbone: Backbone) -> Callable[[], float]:
    """A clock by which a step takes the seconds of its batch's size."""
    now, sizes = [0.0], list[int]()

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        now[0] += seconds(sizes[-1])

    backbone.net.register_forward_pre_hook(count)
    return lambda: now[0]


def measured(backbone: Backbone, most: int, clock: Callable[[], float]) -> MeasuredBatch:
    recipe = Recipe.default("image", pretrained=False)
    (phase,) = STRATEGIES["full"](recipe, ())
    return measure(backbone, phase, recipe, device=CPU, precision="fp32", most=most, clock=clock)


@pytest.mark.usefixtures("few_at_first")
def test_the_size_doubles_as_long_as_throughput_rises() -> None:
    backbone = small()
    clock = clock_of(lambda size: max(1.0, size / 4), backbone)  # saturated with 4
    found = measured(backbone, 16, clock)
    assert found.size == 4
    assert found.speeds == {2: pytest.approx(2), 4: pytest.approx(4), 8: pytest.approx(4)}


@pytest.mark.usefixtures("few_at_first")
def test_it_ends_at_the_largest() -> None:
    backbone = small()
    assert measured(backbone, 8, clock_of(lambda _: 1.0, backbone)).size == 8


@pytest.mark.usefixtures("few_at_first")
def test_a_step_of_many_seconds_is_enough() -> None:
    backbone = small()
    assert measured(backbone, 8, clock_of(lambda size: 2.0 * size**0.5, backbone)).size == 8
    assert measured(backbone, 8, clock_of(lambda size: 4.0 * size**0.5, backbone)).size == 2


@pytest.mark.usefixtures("few_at_first")
def test_a_size_that_does_not_fit_into_memory_is_not_taken() -> None:
    backbone = small()
    narrow(backbone)
    FullBeyond.limit = 5
    found = measured(backbone, 16, clock_of(lambda _: 1.0, backbone))
    assert (found.size, found.speeds[8]) == (4, 0)


def test_fewer_samples_than_usual_are_taken_where_these_do_not_fit() -> None:
    backbone = small()
    narrow(backbone)
    FullBeyond.limit = 5
    found = measured(backbone, 256, clock_of(lambda _: 1.0, backbone))
    assert (found.size, [*found.speeds]) == (4, [32, 16, 8, 4])


@pytest.mark.usefixtures("few_at_first")
def test_measuring_changes_neither_network_nor_random_numbers() -> None:
    backbone = small()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    state = torch.random.get_rng_state()
    measured(backbone, 2, clock_of(lambda _: 1.0, backbone))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in backbone.parameters())


@pytest.mark.parametrize(
    ("samples", "most"), [(100, 32), (2559, 32), (2560, 64), (5120, 128), (10**6, 256)]
)
def test_an_epoch_has_at_least_forty_steps(samples: int, most: int) -> None:
    assert largest(samples, small()) == most


def test_texts_have_a_budget_of_tokens() -> None:
    backbone = zoo.load("lstm", weights="none", classes=2)
    assert backbone.spec.text_input.max_length == 256
    assert largest(10**6, backbone) == 64  # 16,384 tokens


def test_the_learning_rate_grows_with_the_square_root() -> None:
    recipe = Recipe.default("image", pretrained=True)
    assert with_batch_size(recipe, 128, {}).lr == pytest.approx(2 * recipe.lr)
    assert with_batch_size(recipe, 128, {"lr": recipe.lr}).lr == recipe.lr
    assert with_batch_size(recipe, 8, {}).lr == pytest.approx(recipe.lr / 2)


@pytest.mark.slow
def test_a_run_records_the_size_and_a_repetition_has_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "STEPS_PER_EPOCH", 1)
    monkeypatch.setattr(plan, "measure", lambda *_, **__: MeasuredBatch(64, {32: 1.0, 64: 2.0}))
    run = zoo.finetune(
        "cnn", classes=2, epochs=1, image_size=16, workers=0, batch_size="auto",
        output=tmp_path / "run", reporter=Quiet(), report=False,
    )  # fmt: skip
    record = json.loads((run.folder / "run.json").read_text())
    usual = Recipe.default("image", pretrained=False).lr
    assert record["measured_batch"] == {"size": 64, "speeds": {"32": 1.0, "64": 2.0}}
    assert (record["recipe"]["batch_size"], record["recipe"]["fit_memory"]) == (64, True)
    assert record["recipe"]["lr"] == pytest.approx(usual * 2**0.5)
    monkeypatch.setattr(plan, "measure", None)  # is not called
    again = zoo.rerun(run, output=tmp_path / "again", reporter=Quiet(), report=False)
    assert again.identical


@pytest.mark.usefixtures("few_at_first")
def test_features_are_measured_without_gradients() -> None:
    backbone = small()
    clock = clock_of(lambda size: max(1.0, size / 8), backbone)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    found = measure_features(Forward(backbone, device=CPU, precision="fp32"), 100, clock)
    assert found.size == 8
    assert found.speeds == {2: 2, 4: 4, 8: 8, 16: 8}
    assert measure_features(Forward(backbone, device=CPU, precision="fp32"), 7, clock).size == 4
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
