"""Dropout with 16 random bits a value drops the share of values that it should, and keeps the mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.engine import dropout
from zoo.engine.dropout import fast_dropout
from zoo.engine.replacing import replaced

CPU = torch.device("cpu")


def run(net: nn.Module, values: Tensor, *, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with replaced(fast_dropout(net, CPU)):
        output: Tensor = net(values)
    return output


@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_the_share_that_is_dropped_and_the_mean_are_right(share: float) -> None:
    values = torch.ones(1001, 1003, requires_grad=True)  # not a multiple of four numbers
    output = run(nn.Dropout(share), values)
    dropped = output == 0
    assert float(dropped.float().mean()) == pytest.approx(share, abs=0.002)
    assert torch.allclose(output[~dropped], torch.tensor(1 / (1 - share)), rtol=2e-4)
    assert float(output.detach().mean()) == pytest.approx(1, abs=0.02)
    output.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert torch.equal(values.grad, output)
    for axis in (0, 1):  # neighbours are independent
        both = dropped.narrow(axis, 0, 1000) & dropped.narrow(axis, 1, 1000)
        assert float(both.float().mean()) == pytest.approx(share**2, abs=0.003)


def test_masks_depend_on_the_seed_alone() -> None:
    values = torch.ones(200, 200)
    first, again, other = (run(nn.Dropout(0.5), values, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_types_stay() -> None:
    assert run(nn.Dropout(0.5), torch.ones(200, 200, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_what_drops_nothing_or_little_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dropout, "_factors", lambda *_: pytest.fail("replaced"))
    values = torch.ones(200, 200)
    assert torch.equal(run(nn.Dropout(0.5).eval(), values), values)
    assert not fast_dropout(nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2)), CPU)
    assert not fast_dropout(nn.Dropout(0.5), torch.device("meta"))
    assert not run(nn.Dropout(1.0), values).any()
    run(nn.Dropout(0.5), values[:10])
    run(nn.Dropout(0.5, inplace=True), values)
    assert not values.all()


def test_a_network_that_calls_the_function_is_faster_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Calling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

        def forward(self, values: Tensor) -> Tensor:
            return functional.dropout(values, p=self.dropout.p, training=self.training)

    calls: list[int] = []
    real = dropout._factors

    def recorded(values: Tensor, dropped: int) -> Tensor:
        calls.append(dropped)
        return real(values, dropped)

    monkeypatch.setattr(dropout, "_factors", recorded)
    run(Calling(), torch.ones(200, 200))
    assert calls == [2**15]


class Attending(nn.Module):
    """Attention of a sequence to itself, with dropout, as networks call it."""

    def __init__(self, mask: Tensor | None = None, share: float = 0.25, **options: Any) -> None:
        super().__init__()
        self.dropout = nn.Dropout(share)
        self.mask, self.options = mask, options

    def forward(self, values: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(
            *(values, values.sin(), values.cos(), self.mask),
            dropout_p=self.dropout.p,
            **self.options,
        )


def some_values() -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 40, 16, generator=drawn, requires_grad=True)


@pytest.fixture
def mask() -> Tensor:
    """``(4, 1, 40, 40)``: padded texts, and a query that sees nothing."""
    lengths = torch.tensor([40, 31, 7, 1])
    seen = torch.arange(40) < lengths[:, None]
    mask = seen[:, None, None, :].expand(4, 1, 40, 40).clone()
    mask[1, :, 35] = False
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale": 0.7}])
def test_attention_is_that_of_the_library_apart_from_what_is_dropped(
    options: dict[str, Any], masked: bool, mask: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dropped is drawn here as the library does, so that outputs can be compared."""
    monkeypatch.setattr(
        dropout, "_factors", lambda x, n: functional.dropout(torch.ones_like(x), n / 2**16)
    )
    net, found = Attending(mask if masked else None, **options), []
    for functions in ({}, fast_dropout(net, CPU)):
        torch.manual_seed(0)
        values = some_values()
        with replaced(functions):
            output = net(values)
        output.square().sum().backward()
        found.append((output, values.grad))
    (plain, gradient), (fast, its_gradient) = found
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(its_gradient, gradient)
    assert not masked or not fast[1, :, 35].any()


def test_attention_drops_the_right_share() -> None:
    values = torch.zeros(32, 2, 50, 8)  # every key has the weight 1/50, every value is 1
    output = run(Attending(share=0.25), values)
    assert float(output.mean()) == pytest.approx(1, abs=0.01)
    assert float(output[..., 0].var()) == pytest.approx(0.25 / 0.75 / 50, rel=0.1)


def test_other_attention_is_left_to_the_library(
    mask: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropout, "_factors", lambda *_: pytest.fail("replaced"))
    values = some_values()
    run(Attending(is_causal=True), values)
    run(Attending(torch.zeros(40, 40).masked_fill(~mask[2], -torch.inf)), values)
    run(Attending(), values[:, :, :5])
    run(Attending(), values.double())
    never = Attending()
    never.dropout = nn.Dropout(0.0)
    run(nn.Sequential(never, nn.Dropout(0.5).eval()), values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run(Attending(), values)
