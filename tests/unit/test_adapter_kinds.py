"""Kinds of adapters: what a plugin may offer, and into which layers adapters go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.fake_plugins import Folder
from zoo import AdapterKind, AdapterOptions, Backbone, BackboneSpec, ImageInput, Phase, Registry
from zoo.contract.adapters import imported
from zoo.engine import adapters
from zoo.engine.chosen_strategy import ChosenStrategy, find_strategy
from zoo.engine.recipe import Recipe
from zoo.errors import ContractError, PluginError
from zoo.registry.index import Index
from zoo.registry.offers import Offer
from zoo.registry.policy import Policy
from zoo.weights.adapter_kinds import ADAPTERS
from zoo.weights.find_adapter import find_kind

RECIPE = Recipe.default("image", pretrained=True)
SPEC = BackboneSpec(
    name="test/net", modality="image", feature_dim=8, params=0, input=ImageInput(), loader="x:y"
)
OFFER = """
@zoo.hookimpl
def zoo_adapters():
    from zoo import AdapterKind
    return {"first": AdapterKind(title="the first", parameters=lambda net: ["0.weight"]), "odd": len}
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    source = Folder(place).good("acme", extra=OFFER)
    return Registry([source], Policy(), Index(tmp_path / "index"))


def test_a_plugins_kind_is_a_strategy_by_its_bare_name(registry: Registry) -> None:
    (phase,) = find_strategy("acme/first", registry).phases(RECIPE, ["0"])
    assert (phase.name, phase.parameters) == ("first", "acme/first")
    assert phase.kind == find_kind("first", registry)
    assert phase.kind is not None
    assert phase.kind.title == "the first"
    with pytest.raises(PluginError, match=r"'acme'.*builtin_function_or_method, not a zoo"):
        find_strategy("acme/odd", registry)


def test_a_kind_has_either_a_config_or_parameters() -> None:
    with pytest.raises(ContractError, match="either 'config' or 'parameters'"):
        AdapterKind(title="both", config="math:sqrt", parameters="math:sqrt")
    with pytest.raises(ContractError, match="either"):
        AdapterKind(title="none")
    with pytest.raises(ContractError, match="nowhere"):
        imported("nowhere:at_all")
    assert imported("math:sqrt")(4) == 2


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [({"parameters": "odd"}, "parameters must be one of all, lora"), ({"adapter": 3}, "got int")],
)
def test_a_phase_with_an_unknown_adapter_is_refused(changes: dict[str, Any], flaw: str) -> None:
    from zoo.engine.chosen_strategy import STRATEGY

    def strategy(*_: object) -> list[Phase]:
        return [Phase(name="one", epochs=1, lr=0.1, **changes)]

    offer: Offer[Callable[..., Any]] = Offer(kind=STRATEGY, bare="s", plugin="acme", given=strategy)
    with pytest.raises(PluginError, match=flaw):
        ChosenStrategy(offer).phases(RECIPE, ["0"])


class Odd(nn.Conv2d):
    """A convolution whose constructor takes other arguments, so that PEFT cannot make its like."""

    def __init__(self, channels: int, outputs: int, *, size: int) -> None:
        super().__init__(channels, outputs, size)


class Counted(nn.Conv2d):
    """PEFT hands the stride and padding over by place: here they mean something else."""

    def __init__(self, channels: int, outputs: int, size: int, dilation: int = 1, groups: int = 1):
        super().__init__(channels, outputs, size, dilation=dilation, groups=groups)


class Halved(nn.Linear):
    """A linear layer that changes its weight before use."""

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(given, self.weight / self.weight.norm(), self.bias)


def test_adapters_go_only_into_layers_that_they_fit() -> None:
    net = nn.Sequential(
        Odd(3, 4, size=1),
        Counted(4, 4, 1),
        nn.Conv2d(4, 4, 3, dilation=2, padding=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Halved(8, 8),
        nn.Linear(8, 8),
        nn.Identity(),
    )
    backbone = Backbone.wrap(net, spec=SPEC, head="9", stages=["0", "1", "2", "3", "4", "7", "8"])
    assert backbone.adapter_targets() == ["4", "8"]
    for name in ("lora", "dora", "ia3"):
        adapters.insert(backbone, RECIPE, ADAPTERS[name])
        before = backbone.eval()(pixels := torch.randn(2, 3, 9, 9))
        adapters.merge(backbone)
        torch.testing.assert_close(backbone(pixels), before)
    assert adapters.options_of(RECIPE.changed(lora_rank=4), ADAPTERS["ia3"]) == AdapterOptions()
