"""Compute features of texts without padding, by batching texts of equal length."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Features = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def by_length(extract: Features, net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the features of a batch, computed for texts of equal length together: ``(B, feature_dim)``."""
    mask = batch["attention_mask"]  # (B, T), padding on the right
    lengths = mask.sum(dim=1)
    parts, places = [], []
    for length in sorted(set(lengths.tolist())):
        rows = (lengths == length).nonzero().squeeze(1)
        parts.append(
            extract(net, {key: _rows(value, rows, length, mask) for key, value in batch.items()})
        )
        places.append(rows)
    return torch.cat(parts)[torch.cat(places).argsort()]


def _rows(value: Tensor, rows: Tensor, length: int, mask: Tensor) -> Tensor:
    return value[rows, :length] if value.shape == mask.shape else value[rows]
