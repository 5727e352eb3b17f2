"""Heads, used as a fine-tune and a reopened run use them."""

from __future__ import annotations

import torch
from torch import nn

from zoo.contract.hookspecs import HeadFactory
from zoo.engine.heads import make_head, solver_of
from zoo.registry.offers import Offer

FEATURE_DIM = 512


def check_head(offer: Offer[HeadFactory]) -> None:
    """Train a head for a step, and open it as a run would; raises where that fails."""
    features = torch.randn(4, FEATURE_DIM, generator=torch.Generator().manual_seed(0))
    for outputs in (1, 3):
        head = make_head(offer, FEATURE_DIM, outputs)
        solver_of(head, offer)
        head.train()
        loss = head(features).square().mean()
        assert loss.requires_grad, f"{offer}: no parameter takes a gradient"
        loss.backward()
        trained = [p for p in head.parameters() if p.grad is not None]
        assert all(p.grad.isfinite().all() for p in trained), f"{offer}: gradients are not finite"  # type: ignore[union-attr]
        _check_reopened(offer, head.eval(), outputs, features)


def _check_reopened(
    offer: Offer[HeadFactory], head: nn.Module, outputs: int, features: torch.Tensor
) -> None:
    again = make_head(offer, FEATURE_DIM, outputs)
    again.load_state_dict(head.state_dict())
    again.eval()
    with torch.no_grad():
        given, wanted = again(features), head(features)
        assert torch.equal(given, wanted), f"{offer}: its state dict does not hold all its values"
        alone = torch.cat([head(row) for row in torch.split(features, 1)])
    same = torch.allclose(alone, wanted, rtol=1e-4, atol=1e-4)
    assert same, f"{offer}: a sample alone has other outputs than in a batch"
