"""Normalisations are folded where that changes nothing, and the network is as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.engine.folding import find_pairs, folded


class Residual(nn.Module):
    """What the convolution gives is read by the normalisation, and by the sum after it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), lively(nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class Twice(nn.Module):
    """One normalisation after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.norm = lively(nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.one(x)) + self.norm(self.other(x))


class Squared(nn.BatchNorm2d):
    """More than a normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


def lively(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """With values that a trained one could have."""
    for tensor in (norm.running_mean, norm.bias.data):
        tensor.normal_()
    for tensor in (norm.running_var, norm.weight.data):
        tensor.uniform_(0.5, 2)
    return norm


def chain(*, bias: bool, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), lively(norm(4)), nn.ReLU())


@pytest.fixture
def example() -> Tensor:
    return torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bias", [True, False])
def test_a_normalisation_is_folded_and_comes_back(example: Tensor, bias: bool) -> None:
    net = chain(bias=bias).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plain = net(example)
    pairs = find_pairs(net, lambda: net(example))
    assert pairs == [(net[0], net[1])]
    with folded(pairs):
        assert torch.equal(net[1](example), example)  # it does nothing any more
        torch.testing.assert_close(net(example), plain)
        assert not torch.equal(net[0].weight, before["0.weight"])
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(net(example), plain)


def test_an_error_inside_leaves_the_network_as_it_was(example: Tensor) -> None:
    net = chain(bias=False).eval()
    plain = net(example)
    with pytest.raises(KeyboardInterrupt), folded(find_pairs(net, lambda: net(example))):
        raise KeyboardInterrupt
    assert torch.equal(net(example), plain)
    assert net[0].bias is None


@pytest.mark.parametrize(
    "net",
    [Residual(), Twice(), chain(bias=True, norm=Squared), nn.Sequential(nn.Conv2d(3, 4, 3))],
    ids=["read twice", "shared", "subclass", "none"],
)
def test_what_cannot_be_folded_stays(example: Tensor, net: nn.Module) -> None:
    net.eval()
    assert find_pairs(net, lambda: net(example)) == []


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet18", 20), ("mobilenet_v2", 52), ("timm/resnet10t", 14), ("timm/convnext_atto", 0)],
)
def test_networks_of_the_libraries(name: str, count: int) -> None:
    torch.manual_seed(0)
    backbone = zoo.load(name, weights="none").eval()
    for module in backbone.modules():
        if type(module) is nn.BatchNorm2d:
            lively(module)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = backbone.features(images)
        pairs = find_pairs(backbone.net, lambda: backbone.features(images))
        with folded(pairs):
            folded_features = backbone.features(images)
    assert len(pairs) == count
    torch.testing.assert_close(folded_features, plain, rtol=1e-3, atol=1e-4 * plain.abs().max())
