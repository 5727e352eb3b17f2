"""One step of training with an adapter, and the tensors that must not change in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zoo.contract.network.backbone import Backbone
from zoo.engine import adapters
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Strategy
from zoo.engine.trainable import choose_trained
from zoo.testing.checks.base import assert_close, assert_same, copied, small_batch


def train_a_step(backbone: Backbone, strategy: Strategy) -> None:
    """Train a backbone for a step by a strategy of one phase, an adapter; then merge it.

    Args:
        backbone: A newly built backbone, which is modified.
        strategy: A result of :func:`zoo.engine.strategies.adapter`.

    Raises:
        AssertionError: Adding or merging it changes outputs, nothing trains, or something else does.
    """
    backbone.replace_head(2)
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        before = backbone.features(batch)
    recipe = Recipe.default(backbone.spec.modality, pretrained=True)
    (phase,) = strategy(recipe, [stage.name for stage in backbone.stages()])
    choose_trained(backbone, phase, recipe)
    with torch.no_grad():
        assert_close(backbone.features(batch), before, "adding adapters changes the features")
    _step(backbone, _added(backbone))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in backbone.net.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
        with_adapter = backbone.features(batch)
        adapters.merge(backbone)
        assert_close(
            backbone.features(batch), with_adapter, "merging the adapters changes the features"
        )


def _added(backbone: Backbone) -> list[str]:
    """Names of the parameters that may change: the adapter's, or those that it selects."""
    inserted = adapters.parameter_names(backbone)
    return [
        name
        for name, p in backbone.net.named_parameters()
        if (name in inserted if inserted else p.requires_grad)
    ]


def _step(backbone: Backbone, added: Sequence[str]) -> None:
    """Train one step; only the parameters in ``added`` may change."""
    before = copied(dict(backbone.net.named_parameters()))
    batch = small_batch(backbone)
    backbone.train()
    optimiser = torch.optim.AdamW(
        [p for p in backbone.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0
    )
    backbone(batch).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()
    backbone.eval()
    after = dict(backbone.net.named_parameters())
    kept = {name: tensor for name, tensor in before.items() if name not in added}
    assert_same(kept, after, "a step, besides the adapter's,")
    changed = [name for name in added if not torch.equal(before[name], after[name])]
    assert changed, f"no parameter of the adapter takes a gradient: {list(added)[:3]}"
