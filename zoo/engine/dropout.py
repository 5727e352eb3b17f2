"""Dropout with cheaper random numbers, also that of attention.

On a processor the library draws a float64 for each value; here 16 bits decide, which takes a fifth of the
time. They come from the same generator, so that masks still depend on its seed alone.

The library computes attention with dropout in steps, too, and searches all scores for rows in which
everything is masked; here the mask is searched, which is the same for all heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.engine.replacing import Functions

_LEVELS = 2**16
_FEWEST = 2**14  # values; with fewer, calling more functions costs more than is gained


def fast_dropout(net: nn.Module, device: torch.device) -> Functions:
    """Replaces dropout; nothing on other devices, and where ``net`` has none."""
    if device.type == "cpu" and any(isinstance(m, nn.Dropout) and m.p > 0 for m in net.modules()):
        return {
            functional.dropout: _dropout,
            functional.scaled_dot_product_attention: _attention,
        }
    return {}


def _dropout(
    input: Tensor,  # noqa: A002 - the names of functional.dropout
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    dropped = round(p * _LEVELS)  # of the levels
    if inplace or not training or input.numel() < _FEWEST or not 0 < dropped < _LEVELS:
        return functional.dropout(input, p, training, inplace)
    return input * _factors(input, dropped)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention of queries ``(…, T, d)`` to keys ``(…, S, d)``; ``attn_mask``: ``(…, T, S)``."""
    dropped = round(dropout_p * _LEVELS)
    scores = query.shape[:-1].numel() * key.shape[-2]
    additive = attn_mask is not None and attn_mask.dtype != torch.bool
    if (
        not 0 < dropped < _LEVELS
        or scores < _FEWEST
        or additive
        or is_causal
        or enable_gqa
        or query.dtype != torch.float32
        or torch.is_autocast_enabled(query.device.type)
    ):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    weights = (query * factor) @ key.transpose(-2, -1)  # (…, T, S)
    if attn_mask is not None:
        weights = weights.masked_fill(~attn_mask, torch.finfo(weights.dtype).min)
    weights = weights.softmax(-1)
    output = (weights * _factors(weights, dropped)) @ value  # (…, T, d)
    return output if attn_mask is None else output * attn_mask.any(-1, keepdim=True)


def _factors(values: Tensor, dropped: int) -> Tensor:
    """0 for a share of ``dropped`` / 2¹⁶, else what keeps the mean; as ``values``, at random."""
    count = values.numel()
    # 64 bits at a time; torch has no faster way to draw 16.
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(values.shape)
    kept = bits.ge_(dropped - _LEVELS // 2)  # in place: twice as fast as making booleans
    return kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))
