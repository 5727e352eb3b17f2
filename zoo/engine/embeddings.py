"""Gradients of large embeddings in memory that is kept from step to step.

The gradient of a vocabulary is as large as the embedding, and 0 but for the tokens of the batch. On a
processor the library allocates it in every step, for which the system clears each page: for
30,522 × 384 numbers three quarters of the time of that gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from zoo.engine.replacing import Functions

_FEWEST = 2**20  # numbers of an embedding, below which its gradient costs little


class EmbeddingGradients:
    """Computes gradients of embeddings, and keeps their memory.

    Values are those of the library. They are written to ``grad`` without going through its hooks, so
    processes must not share gradients.
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Parameter, Tensor] = {}

    def replacing(self, net: nn.Module, device: torch.device) -> Functions:
        """Replaces embeddings; nothing on other devices, and where ``net`` has no large one."""
        modules = (m for m in net.modules() if isinstance(m, nn.Embedding))
        if device.type == "cpu" and any(_gains(m.weight) for m in modules):
            return {functional.embedding: self._embedding}
        return {}

    def _embedding(
        self,
        input: Tensor,  # noqa: A002 - the names of functional.embedding
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Tensor:
        special = max_norm is not None or scale_grad_by_freq or sparse
        if special or not (torch.is_grad_enabled() and _gains(weight)):
            return functional.embedding(
                input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            )
        rows: Tensor = _Embedding.apply(weight, input, padding_idx, self)  # type: ignore[no-untyped-call]
        return rows

    def add(self, weight: nn.Parameter, ids: Tensor, gradients: Tensor) -> None:
        """Add to ``weight.grad``.

        Args:
            weight: ``(rows, width)``.
            ids: ``(n,)``, rows of it.
            gradients: ``(n, width)``, of those rows.
        """
        if weight.grad is None:
            if weight not in self._kept:
                self._kept[weight] = torch.empty_like(weight, requires_grad=False)
            weight.grad = self._kept[weight].zero_()
        weight.grad.index_add_(0, ids, gradients)


def _gains(weight: Tensor) -> bool:
    """Whether the gradient of a weight is computed here."""
    return (
        isinstance(weight, nn.Parameter)
        and weight.requires_grad
        and weight.numel() >= _FEWEST
        and weight.dtype == torch.float32
    )


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, ids: Tensor, padding: int | None, into: EmbeddingGradients
    ) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.weight, ctx.padding, ctx.into = weight, padding, into
        return functional.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        (ids,) = ctx.saved_tensors
        weight, padding = ctx.weight, ctx.padding
        flat, rows = ids.reshape(-1), gradient.reshape(-1, weight.shape[1])
        if padding is not None:  # its row does not train
            kept = flat != padding % len(weight)
            flat, rows = flat[kept], rows[kept]
        ctx.into.add(weight, flat, rows)
        return None, None, None, None
