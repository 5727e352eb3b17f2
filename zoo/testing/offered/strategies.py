"""Strategies: the phases that they make of several recipes and backbones."""

from __future__ import annotations

from zoo.engine.chosen_strategy import ChosenStrategy
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Strategy
from zoo.errors import UsageError
from zoo.registry.offers import Offer

STAGES = (("all",), ("stem", "layer1", "layer2", "layer3", "layer4"))
"""Names of stages: of the simplest network, and of a usual one."""


def check_strategy(offer: Offer[Strategy]) -> None:
    """Make the phases of several recipes and backbones; raises where they are not valid."""
    chosen = ChosenStrategy(offer)
    try:
        chosen.check_argument()
    except UsageError:  # which arguments it takes is not known
        return
    for stages in STAGES:
        for pretrained in (True, False):
            recipe = Recipe.default("image", pretrained=pretrained)
            chosen.phases(recipe, stages)
            chosen.phases(recipe.changed(freeze_until=stages[0]), stages)
