"""Stages and adapters: names, order, completeness."""

from __future__ import annotations

import torch
from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.system.tensors.hooks import hooked
from zoo.testing.checks.base import check, small_batch


@check(on_meta=True)
def stages_are_disjoint_and_complete(backbone: Backbone) -> None:
    """Every parameter of the network is in exactly one stage; names are valid and unique."""
    stages = backbone.stages()
    assert stages, "there are no stages"
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names), f"stage names repeat: {names}"
    assert not [n for n in names if not n or "," in n or n != n.strip()], f"odd names: {names}"
    held = [path for name in names for path in backbone.stage_parameters(name)]
    assert len(held) == len(set(held)), "a parameter lies in two stages"
    assert set(held) == {path for path, _ in backbone.net.named_parameters()}, "one lies in none"


@check(on_meta=True)
def stages_run_in_order(backbone: Backbone) -> None:
    """In a forward pass, each stage starts after the stage before it."""
    modules = dict(backbone.net.named_modules())
    holders: dict[nn.Module, list[str]] = {}
    for stage in backbone.stages():
        for path in backbone.stage_parameters(stage.name):
            if "." in path:  # the network's own tokens have no call
                holders.setdefault(modules[path.rpartition(".")[0]], []).append(stage.name)
    order: list[str] = []

    def note(module: nn.Module, _: object) -> None:
        order.extend(name for name in dict.fromkeys(holders[module]) if name not in order)

    backbone.eval()
    with torch.no_grad(), hooked(holders, before=note):
        backbone.features(small_batch(backbone))
    wanted = [stage.name for stage in backbone.stages() if stage.name in order]
    assert order == wanted, f"they begin in the order {order}, declared {wanted}"


@check(on_meta=True)
def adapter_targets_exist_and_exclude_the_head(backbone: Backbone) -> None:
    """Every target is a module of the network, and none is the head or a grouped convolution."""
    modules = dict(backbone.net.named_modules())
    for path in backbone.adapter_targets():
        assert path in modules, f"the target {path} does not exist"
        assert path != backbone.head_path, f"the target {path} is the head"
        assert not path.startswith(f"{backbone.head_path}."), f"the target {path} is in the head"
        assert getattr(modules[path], "groups", 1) == 1, f"the target {path} is grouped"
