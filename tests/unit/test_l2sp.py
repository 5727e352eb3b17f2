"""The pull towards the weights that training started from."""

from __future__ import annotations

import pytest
import torch

from tests.unit.test_backbone import IMAGES, SPEC, small_net
from zoo import Backbone
from zoo.engine.l2sp import L2SP


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone.wrap(
        small_net(), spec=SPEC, head="3", stages={"first": ["0"], "second": ["1"]}
    ).eval()


def moved(backbone: Backbone) -> None:
    """As after some training: everything that may move has moved."""
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))


def gradients(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in backbone.named_parameters() if p.grad is not None}


def written_out(backbone: Backbone, starts: dict, alpha: float, beta: float) -> torch.Tensor:
    """The paper's formula, for autograd."""
    trained = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    near = sum((p - starts[n]).square().sum() for n, p in trained.items() if n[:4] == "net.")
    head = sum(p.square().sum() for n, p in trained.items() if n[:5] == "head.")
    return alpha / 2 * near + beta / 2 * head


@pytest.mark.parametrize("frozen", [None, "first", "second"])
def test_the_gradients_are_those_of_the_formula(backbone, frozen):
    starts = {n: p.detach().clone() for n, p in backbone.named_parameters()}
    pull = L2SP(backbone, 0.3, 0.7)
    moved(backbone)
    if frozen:
        backbone.freeze(upto=frozen)  # later than the pull was made, as between two phases
    loss = backbone(IMAGES).square().mean()
    (loss + written_out(backbone, starts, 0.3, 0.7)).backward(retain_graph=True)
    expected = gradients(backbone)
    backbone.zero_grad()
    loss.backward()
    pull.add_gradients()
    found = gradients(backbone)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[n], expected[n], rtol=1e-4, atol=1e-5) for n in expected)


def test_what_has_no_gradient_of_its_own_is_pulled_too(backbone):
    pull = L2SP(backbone, 0.5)
    weight = backbone.net[0][0].weight
    start = weight.detach().clone()
    moved(backbone)
    pull.add_gradients()
    assert torch.allclose(weight.grad, 0.5 * (weight - start))
    assert torch.allclose(backbone.head.weight.grad, 0.01 * backbone.head.weight)


def test_what_is_frozen_is_neither_copied_nor_given_a_gradient(backbone):
    backbone.freeze(upto="first")
    pull = L2SP(backbone, 1.0)
    held = sum(start.numel() for _, start in pull._starts)
    assert held == sum(p.numel() for p in backbone.net.parameters() if p.requires_grad)
    moved(backbone)
    pull.add_gradients()
    assert backbone.net[0][0].weight.grad is None


def test_where_training_starts_there_is_no_pull(backbone):
    backbone(IMAGES).square().mean().backward()
    before = gradients(backbone)
    L2SP(backbone, 5.0, 0.0).add_gradients()
    assert all(torch.equal(gradients(backbone)[n], before[n]) for n in before)
