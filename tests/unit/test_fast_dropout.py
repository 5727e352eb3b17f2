"""Dropout with 16 random bits a value drops the share of values that it should, and keeps the mean."""

from __future__ import annotations

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
