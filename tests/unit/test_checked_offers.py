"""``zoo check`` of heads, strategies and other things: what a fine-tune or a reopened run would run into."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.contract.extensions import LossSpec, Metric
from zoo.engine.chosen_strategy import STRATEGY
from zoo.engine.heads import HEAD
from zoo.engine.strategies import Phase
from zoo.registry.offers import Offer, OfferKind
from zoo.tasks.losses import LOSS
from zoo.tasks.metrics import METRIC
from zoo.testing.catalogue import (
    functions_can_be_imported,
    heads_can_be_trained,
    strategies_make_valid_phases,
)


def offering(kind: OfferKind, thing: Callable[..., Any]) -> Any:
    offer = Offer(kind=kind, bare="odd", plugin="acme", given=thing)
    source = SimpleNamespace(name="acme")
    return SimpleNamespace(offers=lambda wanted: [offer] if wanted is kind else [], source=source)


class Forgets(nn.Module):
    """Projects at random, and keeps the projection out of its state."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.projection = torch.randn(width, 8)
        self.last = nn.Linear(8, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(features @ self.projection)  # type: ignore[no-any-return]


class OfBatch(nn.Linear):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0))


@pytest.mark.parametrize(
    ("head", "fact"),
    [
        (Forgets, "does not hold all its values"),
        (OfBatch, "a sample alone has other outputs"),
        (
            lambda _, outputs: nn.Linear(512, outputs).requires_grad_(False),
            "no parameter takes a gradient",
        ),
        (lambda width, _: nn.Linear(width, 3), "expected"),
    ],
)
def test_a_head_that_a_run_cannot_use_fails(head: Callable[..., Any], fact: str) -> None:
    with pytest.raises(AssertionError, match=fact):
        heads_can_be_trained(offering(HEAD, head))
    heads_can_be_trained(offering(HEAD, nn.Linear))


def test_a_strategy_must_do_with_one_stage() -> None:
    def top(recipe: Any, stages: tuple[str, ...], count: str | None = None) -> list[Phase]:
        until = stages[-2] if count is None else stages[-1]
        return [Phase(name="top", epochs=recipe.epochs, lr=recipe.lr, freeze_until=until)]

    with pytest.raises(AssertionError, match="'acme/odd' raised IndexError"):
        strategies_make_valid_phases(offering(STRATEGY, top))
    strategies_make_valid_phases(offering(STRATEGY, lambda recipe, stages, count: 1 / 0))
    strategies_make_valid_phases(
        offering(STRATEGY, lambda recipe, stages: [Phase(name="a", epochs=1, lr=recipe.lr)])
    )


def test_functions_that_are_not_there_are_found() -> None:
    there = Metric(title="there", measures={"single-label": "zoo.tasks.measures:auroc"})
    functions_can_be_imported(offering(METRIC, there))  # type: ignore[arg-type]
    gone = Metric(title="gone", measures={"single-label": "zoo.tasks.measures:no_such"})
    lost = LossSpec(formula="a_module_that_nobody_has:loss", tasks=("regression",))
    for kind, thing in ((METRIC, gone), (LOSS, lost)):
        with pytest.raises(AssertionError, match="acme/odd"):
            functions_can_be_imported(offering(kind, thing))  # type: ignore[arg-type]
