"""Seed torch's random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random numbers on the CPU in the block, and restore their state after it."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def seed_devices(seed: int) -> None:
    """Seed torch's random numbers on the CPU and on the accelerator, if there is one.

    Without an accelerator, each call of ``torch.manual_seed`` would store a stack trace per type of
    device.
    """
    torch.default_generator.manual_seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)


def mixed_seed(*numbers: int) -> int:
    """One 63-bit seed from several numbers."""
    sequence = np.random.SeedSequence([number % 2**64 for number in numbers])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
