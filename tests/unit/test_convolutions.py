"""Gradients of convolution weights by matrix products are those of the library."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.engine import convolutions
from zoo.engine.convolutions import fast_weight_gradients
from zoo.engine.replacing import replaced

CPU = torch.device("cpu")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the weights whose gradients are matrix products, on a processor with AVX2."""
    shapes: list[tuple[int, ...]] = []
    real = convolutions._of_weight

    def recorded(images: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        shapes.append(tuple(weight.shape))
        return real(images, weight, *rest)

    monkeypatch.setattr(convolutions, "_of_weight", recorded)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    return shapes


def gradients(net: nn.Module, images: Tensor, *, fast: bool) -> list[Tensor]:
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    net.zero_grad()
    with replaced(fast_weight_gradients(net, CPU) if fast else {}):
        output = net(images)
    output.square().sum().backward()
    assert images.grad is not None
    return [output, images.grad, *(p.grad.clone() for p in net.parameters() if p.grad is not None)]


def last(module: Any) -> Any:
    return module.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
        {"kernel_size": (1, 3), "padding": (0, 1), "stride": (2, 1)},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 5, "stride": 3},
    ],
)
def test_the_gradients_are_equal(
    options: dict[str, Any], computed: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "_MOST_BYTES", 2**18)  # one or two images at a time
    torch.manual_seed(0)
    net = last(nn.Sequential(nn.Conv2d(16, 24, **options), nn.ReLU()))
    images = last(torch.randn(5, 16, 17, 13))
    plain, fast = (gradients(net, images, fast=fast) for fast in (False, True))
    assert len(computed) == 1
    assert torch.equal(plain[0], fast[0])
    assert torch.equal(plain[1], fast[1])
    for one, other in zip(plain[2:], fast[2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
        assert one.stride() == other.stride()


def test_what_gains_nothing_is_left_to_the_library(computed: list[tuple[int, ...]]) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3),  # few channels
        nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv2d(16, 16, 3, padding="same"),
        nn.Conv2d(16, 16, 3).requires_grad_(requires_grad=False),
        nn.Conv2d(16, 20, 3),
    )
    images = torch.randn(2, 3, 12, 12)
    gradients(net, images, fast=True)  # not channels-last
    assert not computed
    gradients(last(net), last(images), fast=True)
    assert computed == [(20, 16, 3, 3)]
    computed.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradients(net, last(images), fast=True)
    assert not computed


def test_other_processors_keep_the_library(
    computed: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    gradients(last(nn.Conv2d(16, 16, 3)), last(torch.randn(2, 16, 8, 8)), fast=True)
    assert not computed
