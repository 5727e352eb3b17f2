"""Outputs of layers as feature maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def as_maps(output: Tensor, prefix_tokens: int | None) -> Tensor | None:
    """``output`` as ``(B, channels, h, w)``, a view if possible; ``None`` without spatial dimensions.

    Images are square, so two sides of equal length tell channels-first from channels-last.

    Args:
        output: A convolution's output, or tokens ``(B, T, width)``.
        prefix_tokens: Number of tokens before the image patches; ``None`` if tokens are not patches.
    """
    if output.ndim == 4:
        _, first, second, third = output.shape
        last = first == second != third
        return output.permute(0, 3, 1, 2) if last else output
    if output.ndim != 3 or prefix_tokens is None:
        return None
    patches = output[:, prefix_tokens:].transpose(1, 2)  # (B, width, patches)
    side = math.isqrt(patches.shape[2])
    if side * side != patches.shape[2]:
        return None
    return torch.unflatten(patches, 2, (side, side))
