"""Batches of random pixels, to test networks."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contract.spec import BackboneSpec


def random_batch(
    spec: BackboneSpec, count: int, *, size: int | tuple[int, int] | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """``pixel_values`` ``(count, C, height, width)``; ``size`` is both, or each, in pixels."""
    sides = size or spec.image_input.size
    height, width = sides if isinstance(sides, tuple) else (sides, sides)
    generator = torch.Generator().manual_seed(seed)
    channels = spec.image_input.channels
    return {"pixel_values": torch.randn(count, channels, height, width, generator=generator)}
