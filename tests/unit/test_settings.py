"""Which settings a phase uses: options without effect are refused, the header names those that have one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from zoo.engine.chosen_strategy import STRATEGY, ChosenStrategy
from zoo.engine.recipe import Recipe
from zoo.engine.settings import in_words, refuse_unused, used_by
from zoo.engine.strategies import STRATEGIES, Phase
from zoo.errors import UsageError
from zoo.registry.offers import Offer

STAGES = ("conv1", "layer1", "layer2")
FOR_BACKBONE: dict[str, Any] = {
    "balanced": True,
    "mixup": 0.2,
    "cutmix": 1.0,
    "augment": "trivial",
    "ema": 0.99,
    "batch_norm": "batch",
    "accumulate": 2,
    "batch_size": 16,
    "l2sp": 0.01,
    "layer_decay": 0.5,
    "freeze": ("conv1",),
    "unfreeze": ("conv1",),
    "freeze_until": "conv1",
    "patience": 2,
}
FOR_ALL: dict[str, Any] = {
    "class_weights": True,
    "focal": 2.0,
    "label_smoothing": 0.1,
    "metric": "loss",
    "seed": 3,
}
FOR_STEPS: dict[str, Any] = {
    "epochs": 3,
    "lr": 0.01,
    "weight_decay": 0.0,
    "schedule": "linear",
    "warmup": 0.2,
    "max_grad_norm": 2.0,
    "dropout": 0.1,
}


def check(strategy: str, **overrides: Any) -> None:
    recipe = Recipe.default("image", pretrained=True, strategy=strategy).changed(
        strategy=strategy, **overrides
    )
    offer = Offer(kind=STRATEGY, bare=strategy, plugin="", given=STRATEGIES[strategy])
    made = partial(ChosenStrategy(offer).phases, stages=STAGES)
    refuse_unused(overrides, recipe, made(recipe), made)


@pytest.mark.parametrize("option", FOR_BACKBONE)
def test_what_a_head_that_is_solved_for_cannot_use_is_refused_under_probe(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option}.*'probe'") as e:
        check("probe", **{option: FOR_BACKBONE[option]})
    assert f"--{option.replace('_', '-')}" in e.value.hint


@pytest.mark.parametrize("strategy", ["full", "two-stage", "gradual"])
def test_what_trains_the_backbone_uses_all_of_it(strategy: str) -> None:
    for option, value in FOR_BACKBONE.items():
        check(strategy, **{option: value})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_the_metric_and_what_is_about_steps_are_for_every_strategy(strategy: str) -> None:
    for option, value in {**FOR_ALL, **FOR_STEPS}.items():
        check(strategy, **{option: value})


@pytest.mark.parametrize(
    ("strategy", "overrides", "option", "way_out"),
    [
        ("probe", {"head_solver": "lbfgs", "epochs": 3}, "--epochs", "--head-solver adamw"),
        ("probe", {"head_solver": "lbfgs", "lr": 0.1}, "--lr", "--head-solver adamw"),
        ("probe", {"head_solver": "lbfgs", "dropout": 0.1}, "--dropout", "--head-solver adamw"),
        ("lora", {"layer_decay": 0.5}, "--layer-decay", "--strategy two-stage or full"),
        ("bias", {"layer_decay": 0.5}, "--layer-decay", "--strategy two-stage or full"),
        ("full", {"lora_rank": 4}, "--lora-rank", "--strategy lora"),
        ("norm", {"lora_dropout": 0.1}, "--lora-dropout", "--strategy lora"),
        ("probe", {"batch_size": "auto"}, "--batch-size", "--strategy two-stage or full"),
        ("full", {"head_solver": "adamw"}, "--head-solver", "--strategy probe"),
        ("full", {"cached_views": 4}, "--cached-views", "--strategy two-stage"),
    ],
)
def test_an_option_for_another_strategy_is_refused_with_a_way_out(
    strategy: str, overrides: dict[str, Any], option: str, way_out: str
) -> None:
    with pytest.raises(UsageError) as error:
        check(strategy, **overrides)
    assert option in error.value.message
    assert way_out in error.value.hint


def test_to_ask_for_nothing_is_harmless_and_what_suits_is_used() -> None:
    check("probe", mixup=0.0, balanced=False, augment="none", freeze=(), l2sp=0.0)
    check("probe", cached_views=4, augment="trivial")
    check("probe", epochs=3, batch_size=16, patience=2)
    check("full", cached_views=4, freeze_until="conv1", epochs=4)
    assert Recipe.default("text", pretrained=True).changed(dropout=0.0).head_solver == "lbfgs"


def test_the_batch_size_of_a_probe_in_steps_is_that_of_its_head() -> None:
    recipe = Recipe.default("image", pretrained=True).changed(
        strategy="probe", epochs=3, batch_size=16
    )
    (phase,) = STRATEGIES["probe"](recipe, STAGES)
    assert used_by(phase, recipe)["probe_batch_size"] == 16
    assert in_words(recipe, [phase]).startswith("probe, batches of 16")


def test_a_plugin_s_strategy_that_reads_no_epochs_has_them_refused() -> None:
    def fixed(recipe: Recipe) -> list[Phase]:
        return [Phase(name="all", epochs=2, lr=recipe.lr)]

    recipe = Recipe.default("image", pretrained=True).changed(epochs=9, lr=0.5)
    refuse_unused({"lr": 0.5}, recipe, fixed(recipe), fixed)
    with pytest.raises(UsageError, match="epochs"):
        refuse_unused({"epochs": 9}, recipe, fixed(recipe), fixed)


def test_the_header_says_which_phase_uses_what() -> None:
    recipe = Recipe.default("image", pretrained=True).changed(
        strategy="two-stage", mixup=0.2, label_smoothing=0.1, l2sp=0.01
    )
    words = in_words(recipe, list(STRATEGIES["two-stage"](recipe, STAGES)))
    assert words == (
        "two-stage, label smoothing 0.1; full only: batches of 32, "
        "weight decay 0 (replaced by L2-SP), mixup 0.2, l2sp 0.01"
    )
    probe = Recipe.default("image", pretrained=True, strategy="probe")
    assert in_words(probe, list(STRATEGIES["probe"](probe, STAGES))) == "probe"
