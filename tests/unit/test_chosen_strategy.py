"""The phases of a plugin's strategy: checked, and no less frozen than the user asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zoo.engine.chosen_strategy import STRATEGY, ChosenStrategy
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import STRATEGIES, STRENGTHS, Phase
from zoo.errors import PluginError, UsageError
from zoo.registry.offers import Offer

STAGES = ("stem", "layer1", "layer2")
RECIPE = Recipe.default("image", pretrained=True)


def chosen(strategy: Callable[..., Any], argument: str | None = None) -> ChosenStrategy:
    offer = Offer(kind=STRATEGY, bare="odd", plugin="acme", given=strategy)
    return ChosenStrategy(offer, argument)


def phase(**changes: Any) -> Phase:
    return Phase(**{"name": "all", "epochs": 1, "lr": 0.1, **changes})


@pytest.mark.parametrize(
    ("own", "asked", "frozen"),
    [
        (None, None, None),
        (None, "layer1", "layer1"),
        ("stem", "layer1", "layer1"),
        ("layer2", "layer1", "layer2"),
        ("layer1", None, "layer1"),
    ],
)
def test_the_stricter_freeze_counts(own: str | None, asked: str | None, frozen: str | None) -> None:
    made = chosen(
        lambda recipe, stages: [
            phase(name="head", trains_backbone=False),
            phase(freeze_until=own),
        ]
    )
    head, everything = made.phases(RECIPE.changed(freeze_until=asked), STAGES)
    assert (head.freeze_until, everything.freeze_until) == (None, frozen)


@pytest.mark.parametrize(
    ("made", "fact"),
    [
        (list, "no phases"),
        (lambda: None, "TypeError"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: ["all"], "str, not zoo.Phase"),
        (lambda: [phase(), phase()], "two phases are called 'all'"),
        (lambda: [phase(name="")], "name must be"),
        (lambda: [phase(epochs=0)], "epochs must be an integer of at least 1, got 0"),
        (lambda: [phase(epochs=1.5)], "got 1.5"),
        (lambda: [phase(lr=0)], "lr must be a number greater than 0, got 0"),
        (lambda: [phase(lr=float("nan"))], "lr must be .* got nan"),
        (lambda: [phase(layer_decay=-1)], "layer_decay must be"),
        (lambda: [phase(parameters="biases")], "parameters must be one of all, .*bias"),
        (lambda: [phase(solver="lbfgs")], "trains_backbone=False"),
        (lambda: [phase(freeze_until="layer9")], "no stage called 'layer9'.*stem, layer1, layer2"),
    ],
)
def test_phases_that_cannot_be_trained_name_the_plugin(made: Callable[[], Any], fact: str) -> None:
    strategy = chosen(lambda recipe, stages: made())
    with pytest.raises(
        PluginError, match=f"plugin 'acme' is broken: its strategy 'acme/odd'.*{fact}"
    ) as told:
        strategy.phases(RECIPE, STAGES)
    assert "author" in told.value.hint


def test_an_argument_is_handed_to_the_strategy() -> None:
    def until(recipe: Recipe, stages: tuple[str, ...], number: str) -> list[Phase]:
        return [phase(freeze_until=stages[int(number)])]

    made = chosen(until, "1")
    made.check_argument()
    assert made.name == "acme/odd:1"
    assert made.phases(RECIPE, STAGES)[0].freeze_until == "layer1"
    with pytest.raises(UsageError, match='strategy="acme/odd:x" is not valid: invalid literal'):
        chosen(until, "x").phases(RECIPE, STAGES)
    with pytest.raises(PluginError, match="IndexError"):
        chosen(until, "7").phases(RECIPE, STAGES)
    with pytest.raises(UsageError, match="'acme/odd' needs an argument") as told:
        chosen(until).check_argument()
    assert "acme/odd:…" in told.value.hint
    with pytest.raises(UsageError, match="'acme/odd' takes no argument, got 'acme/odd:2'"):
        chosen(lambda recipe, stages: [], "2").check_argument()
    with pytest.raises(PluginError, match=r"'acme/odd' must take \(recipe, stages\)"):
        chosen(lambda recipe: []).check_argument()


def test_a_head_that_is_solved_for_tries_every_strength() -> None:
    head = phase(trains_backbone=False, solver="lbfgs")
    (solved,) = chosen(lambda recipe, stages: [head]).phases(RECIPE, STAGES)
    assert solved.epochs == len(STRENGTHS) == 9


@pytest.mark.parametrize(("argument", "frozen"), [("1", "layer1"), ("2", "stem"), ("3", None)])
def test_last_trains_the_last_stages(argument: str, frozen: str | None) -> None:
    offer = Offer(kind=STRATEGY, bare="last", plugin="", given=STRATEGIES["last"])
    phases = ChosenStrategy(offer, argument).phases(RECIPE, STAGES)
    assert [phase.name for phase in phases] == ["probe", "last"]
    assert phases[1].freeze_until == frozen
    for wrong in ("0", "4", "x", ""):
        with pytest.raises(UsageError, match="from 1 to 3") as told:
            ChosenStrategy(offer, wrong).phases(RECIPE, STAGES)
        assert "stem, layer1, layer2" in told.value.hint
