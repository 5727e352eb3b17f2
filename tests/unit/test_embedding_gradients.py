"""Gradients of embeddings whose memory is kept are those of the library."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.engine import embeddings
from zoo.engine.embeddings import EmbeddingGradients
from zoo.engine.replacing import replaced

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small embeddings count as large."""
    monkeypatch.setattr(embeddings, "_FEWEST", 1)


class Tied(nn.Module):
    """An embedding that is also the matrix of a linear layer, and is looked up twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8, **options)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids) + self.table(ids.flip(1)).sin()
        return functional.linear(rows, self.table.weight)


def trained(net: nn.Module, kept: EmbeddingGradients | None) -> list[Tensor]:
    """The parameters after each of some steps of two micro-batches, with clipped gradients."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1, fused=True)
    drawn = torch.Generator().manual_seed(0)
    found = []
    for _ in range(4):
        for _ in range(2):
            ids = torch.randint(50, (3, 5), generator=drawn)
            with replaced(kept.replacing(net, CPU) if kept else {}):
                output = net(ids)
            output.square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        found += [p.detach().clone() for p in net.parameters()]
    return found


@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}, {"padding_idx": -1}])
@pytest.mark.parametrize("tied", [False, True])
def test_training_is_the_same(options: dict[str, Any], tied: bool) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return Tied(**options) if tied else nn.Sequential(nn.Embedding(50, 8, **options))

    plain, kept = trained(make(), None), trained(make(), EmbeddingGradients())
    for one, other in zip(plain, kept, strict=True):
        if tied:  # summed in another order
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(one, other)


def test_the_memory_is_used_again_and_holds_nothing_of_the_step_before() -> None:
    net, kept = nn.Embedding(50, 8), EmbeddingGradients()
    places = set()
    for ids in ([1, 2], [3, 3]):
        with replaced(kept.replacing(net, CPU)):
            net(torch.tensor(ids)).sum().backward()
        assert net.weight.grad is not None
        places.add(net.weight.grad.data_ptr())
        assert net.weight.grad.sum(dim=1).nonzero().flatten().tolist() == sorted(set(ids))
        net.weight.grad = None
    assert len(places) == 1


@pytest.mark.parametrize(
    "net",
    [
        nn.Embedding(50, 8, sparse=True),
        nn.Embedding(50, 8, max_norm=1.0),
        nn.Embedding(50, 8, scale_grad_by_freq=True),
        nn.Embedding(50, 8).requires_grad_(requires_grad=False),
        nn.Embedding(50, 8, dtype=torch.float64),
    ],
)
def test_others_are_left_to_the_library(net: nn.Embedding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingGradients, "add", lambda *_: pytest.fail("replaced"))
    with replaced(EmbeddingGradients().replacing(net, CPU)):
        output = net(torch.tensor([1, 2])).sum()
    if output.requires_grad:
        output.backward()
    assert not EmbeddingGradients().replacing(net, torch.device("meta"))
