"""Recipes, strategies, parameter groups and the feature cache."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.test_backbone import SPEC, small_net
from zoo import Backbone
from zoo.engine import adapters
from zoo.engine.checkpoint import STATE, CheckpointStore
from zoo.engine.chosen_strategy import find_strategy
from zoo.engine.device import choose_device
from zoo.engine.find_lr import LOWEST, Curve, steepest
from zoo.engine.groups import parameter_groups
from zoo.engine.precision import resolve_precision
from zoo.engine.recipe import Recipe
from zoo.engine.sharding import refuse_unsharded
from zoo.errors import NameLookupError, RunError, UsageError
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.system.tensors.seeds import seed_devices
from zoo.tasks.single_label import SingleLabel
from zoo.training.curve import write_curve


def empty_registry(folder: Path) -> Registry:
    return Registry([], Policy(), Index(folder))


def backbone() -> Backbone:
    return Backbone.wrap(small_net(), spec=SPEC, head="3", stages={"first": ["0"], "second": ["1"]})


@pytest.mark.parametrize(
    ("wish", "option"),
    [
        ({"lr": 0.0}, "lr 0"),
        ({"lr": float("nan")}, "lr nan"),
        ({"epochs": -1}, "epochs -1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"weight_decay": -0.1}, "weight_decay -0.1"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_numbers_are_named(wish: dict[str, float], option: str) -> None:
    with pytest.raises(UsageError, match=option.replace(" ", ".* ")) as error:
        Recipe.default("image", pretrained=True).changed(**wish)
    assert error.value.hint


def test_pretrained_weights_make_two_stage_the_default() -> None:
    assert Recipe.default("text", pretrained=True).strategy == "two-stage"
    assert Recipe.default("text", pretrained=False).strategy == "full"


@pytest.mark.parametrize(
    ("strategy", "wish", "solver"),
    [
        ("two-stage", {}, "lbfgs"),
        ("two-stage", {"epochs": 3, "lr": 1e-4, "weight_decay": 0.1}, "lbfgs"),
        ("two-stage", {"dropout": 0.1}, "adamw"),
        ("two-stage", {"dropout": 0.1, "head_solver": "lbfgs"}, "lbfgs"),
        ("probe", {"seed": 1, "batch_size": 8}, "lbfgs"),
        ("probe", {"epochs": 3}, "adamw"),
        ("probe", {"lr": 1e-3}, "adamw"),
        ("probe", {"weight_decay": 0.0}, "adamw"),
    ],
)
def test_a_head_is_solved_for_unless_a_wish_is_about_steps(
    strategy: str, wish: dict[str, float], solver: str
) -> None:
    default = Recipe.default("text", pretrained=True, strategy=strategy)
    assert default.changed(**wish).head_solver == solver


def test_a_head_is_trained_in_steps_where_solving_would_take_long() -> None:
    few, many = (
        Recipe.default("image", pretrained=True, products=samples * 2048 * 1000)
        for samples in (400, 1_281_167)
    )
    assert (few.head_solver, many.head_solver) == ("lbfgs", "adamw")


def test_epochs_and_rate_are_those_of_the_last_phase(tmp_path: Path) -> None:
    registry = empty_registry(tmp_path)
    for strategy, names in (
        ("probe", ["probe"]),
        ("full", ["full"]),
        ("two-stage", ["probe", "full"]),
    ):
        recipe = Recipe.default("image", pretrained=True).changed(
            strategy=strategy, epochs=7, lr=0.125
        )
        phases = find_strategy(strategy, registry).phases(recipe, ())
        assert [phase.name for phase in phases] == names
        assert (phases[-1].epochs, phases[-1].lr) == (7, 0.125)


def test_an_unknown_strategy_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NameLookupError, match="'probe'") as error:
        find_strategy("prob", empty_registry(tmp_path))
    assert error.value.hint.startswith("Strategies: probe, full, two-stage, gradual, last, lora,")


def test_every_trained_parameter_is_in_one_group_and_vectors_do_not_decay() -> None:
    model = backbone()
    model.freeze(upto="first")
    groups = parameter_groups(model, lr=1.0, layer_decay=0.5, weight_decay=0.1)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert {g["weight_decay"] for g in groups for p in g["params"] if p.ndim == 1} == {0.0}
    assert {g["weight_decay"] for g in groups for p in g["params"] if p.ndim > 1} == {0.1}


def test_the_learning_rate_falls_from_the_head_to_the_input() -> None:
    groups = parameter_groups(backbone(), lr=1.0, layer_decay=0.5, weight_decay=0.0)
    assert {group["name"]: group["lr"] for group in groups} == {
        "head": 1.0,
        "second": 1.0,
        "first": 0.5,
    }


def test_from_random_parameters_on_wide_matrices_have_a_smaller_rate() -> None:
    groups = parameter_groups(backbone(), lr=1.0, layer_decay=1.0, weight_decay=0.0, base_width=4)
    rates = sorted(group["lr"] for group in groups for _ in group["params"])
    # the filters of 27 and of 9 inputs, the head of 8, and what has one dimension
    assert rates == [8 / 27, 4 / 8, 8 / 9, *[1.0] * (len(rates) - 3)]
    assert Recipe.default("image", pretrained=False).base_width == 256


def test_evaluation_agrees_with_a_count_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    result = SingleLabel().evaluation(logits, np.array([0, 1, 1, 1]), ["no", "yes"])
    assert result.metrics["accuracy"] == 0.75
    assert result.confusion == [[1, 0], [1, 2]]
    assert result.per_class["yes"]["recall"] == pytest.approx(2 / 3)
    assert result.per_class["no"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_an_explicit_precision_is_taken_as_it_is() -> None:
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    assert resolve_precision("auto", torch.device("cpu")) in ("bf16", "fp32")


@pytest.mark.parametrize(
    ("capability", "precision"), [((9, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_a_gpu_computes_in_what_it_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert resolve_precision("auto", torch.device("cuda")) == precision


def test_a_network_that_is_frozen_to_its_end_has_nothing_for_lora() -> None:
    recipe = Recipe.default("image", pretrained=False).changed(freeze_until="second")
    with pytest.raises(UsageError, match="freeze_until") as caught:
        adapters.insert(backbone(), recipe)
    assert "--strategy full" in caught.value.hint


def test_a_device_that_is_not_there_is_named() -> None:
    for wish in ("cude", "meta:0:1"):
        with pytest.raises(UsageError, match=f"device.*{wish}") as caught:
            choose_device(wish)
        assert "--device cpu" in caught.value.hint


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 1.5, 4.0]])
def test_losses_that_never_fall_suggest_no_rate(losses: list[float]) -> None:
    rates = [LOWEST * 10**number for number in range(len(losses))]
    with pytest.raises(RunError, match="1e-06"):
        steepest(rates, losses)


@pytest.mark.parametrize(
    ("kind", "shards", "wish", "precision", "message"),
    [
        ("DEEPSPEED", False, {}, "fp32", "DEEPSPEED"),
        ("FSDP", False, {}, "fp32", "FSDP"),
        ("FSDP", True, {"ema": 0.9}, "fp32", "ema .* sharded"),
        ("FSDP", True, {}, "fp16", "precision.*fp16.* sharded"),
    ],
)
def test_what_does_not_work_on_shards_is_reported(
    kind: str, shards: bool, wish: dict[str, float], precision: str, message: str
) -> None:
    accelerator: Any = SimpleNamespace(distributed_type=f"DistributedType.{kind}", is_fsdp2=shards)
    recipe = Recipe.default("image", pretrained=False).changed(**wish)
    with pytest.raises(UsageError, match=message):
        refuse_unsharded(accelerator, recipe, [], precision)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_state_says_what_to_remove(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(RunError, match=f"{tmp_path}") as caught:
        CheckpointStore(tmp_path).load()
    assert f"Remove {tmp_path}" in caught.value.hint


def test_a_curve_that_cannot_be_written_says_where_to() -> None:
    curve = Curve((1e-3, 1e-2), (2.0, 1.0), 1e-3)
    with pytest.raises(RunError, match="/dev/null/rates") as caught:
        write_curve(Path("/dev/null/rates"), curve)
    assert "--output DIR" in caught.value.hint


def test_without_an_accelerator_the_cpu_alone_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.manual_seed`` would keep a stack trace at every step of training."""
    expected = torch.rand(4, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch, "manual_seed", None)
    seed_devices(3)
    assert torch.equal(torch.rand(4), expected)
