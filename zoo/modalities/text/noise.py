"""Batches of random tokens, to test networks."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contract.spec import BackboneSpec

SMALL = 16
"""Tokens that are enough to try a network."""

LARGE = 512
"""Tokens; attention over more takes gigabytes."""


def random_batch(
    spec: BackboneSpec, count: int, *, size: int | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask``, ``(count, T)``; T is ``size``, by default 16 at most."""
    text = spec.text_input
    length = min(size or SMALL, text.max_length)
    low = min(5, text.vocab_size - 1)  # the first ids are special ones, mostly
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(low, text.vocab_size, (count, length), generator=generator)
    ids[ids == text.pad_id] = low
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
