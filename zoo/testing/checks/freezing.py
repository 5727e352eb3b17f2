"""Freezing and unfreezing: frozen parameters do not change, trained ones do."""

from __future__ import annotations

import copy

import torch

from zoo.contract.network.backbone import Backbone
from zoo.testing.checks.base import assert_same, check, copied, small_batch

STEPS = 3


@check()
def frozen_stages_stay_fixed_and_others_train(backbone: Backbone) -> None:
    """After three training steps, frozen parameters and buffers are bit-identical, others changed.

    Tested with nothing frozen, and with every prefix of the stages.
    """
    for upto in [None, *(stage.name for stage in backbone.stages())]:
        assert_prefix_rests(copy.deepcopy(backbone), upto)


@check()
def frozen_dropout_is_off(backbone: Backbone) -> None:
    """With everything frozen, features in train mode equal those in evaluation mode."""
    batch = small_batch(backbone, count=3)
    backbone.freeze()  # torch may choose another kernel where a parameter needs no gradient
    backbone.eval()
    with torch.no_grad():
        wanted = backbone.features(batch)
        backbone.train()
        first, second = backbone.features(batch), backbone.features(batch)
    assert torch.equal(first, second), "frozen, two calls in train mode differ"
    assert torch.equal(first, wanted), "frozen, train mode differs from evaluation mode"
    assert not backbone.net.training or not [
        name
        for name, module in backbone.net.named_modules()
        if module.training and name and type(module).__name__.startswith("Dropout")
    ], "frozen dropout is in train mode"


@check()
def gradients_reach_every_parameter(backbone: Backbone) -> None:
    """With nothing frozen, or after unfreezing, every parameter gets a gradient."""
    backbone.replace_head(2)
    backbone.freeze()
    backbone.unfreeze()
    backbone.eval()
    backbone(small_batch(backbone)).square().sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not missing, f"{len(missing)} parameters get no gradient: {missing[:5]}"


def assert_prefix_rests(model: Backbone, upto: str | None) -> None:
    """Check that three steps with the stages up to ``upto`` frozen change all others, but not these."""
    batch = small_batch(model, count=3)
    model.replace_head(2)
    if upto is not None:
        model.freeze(upto=upto)
    model.train()
    names = [stage.name for stage in model.stages()]
    frozen = set(names[: names.index(upto) + 1]) if upto else set()
    before = copied(model.net.state_dict())
    parameters = copied(dict(model.net.named_parameters()))
    trained = [p for p in model.parameters() if p.requires_grad]
    # Its steps are as long for the tiny gradients of a deep network with random parameters.
    optimizer = torch.optim.Rprop(trained, lr=1e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(batch).square().sum().backward()
        optimizer.step()
    for name in names:
        moved = [
            path
            for path, parameter in model.stage_parameters(name).items()
            if not torch.equal(parameter, parameters[path])
        ]
        if name in frozen:
            assert not moved, f"frozen up to {upto}, yet {moved[:3]} moved"
        else:
            assert moved, f"frozen up to {upto}, and stage {name} learned nothing"
    after = model.net.state_dict()
    resting = {path: before[path] for path in before if _rests(model, path, frozen)}
    assert_same(resting, after, f"training what follows {upto}")


def _rests(model: Backbone, path: str, frozen: set[str]) -> bool:
    """Whether a parameter or buffer belongs to a frozen stage, or everything is frozen."""
    owner = model.stage_of(path)
    return owner in frozen if owner else len(frozen) == len(model.stages())
