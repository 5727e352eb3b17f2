"""Random numbers for a whole batch, each sample's from a generator of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_BITS = 53  # of a double's mantissa


class Draws:
    """One generator per sample: its numbers do not depend on the other samples of the batch.

    A counter is hashed (SplitMix64: Steele, Lea and Flood 2014, *Fast splittable pseudorandom number
    generators*): seeding torch's generator for each sample takes longer than augmenting it.

    Args:
        seed: Of the run.
        keys: ``(B, K)``: what identifies each sample, such as epoch and index.
    """

    def __init__(self, seed: int, keys: Sequence[Sequence[int]]) -> None:
        columns = np.array(keys, np.int64).reshape(len(keys), -1).astype(np.uint64).T
        self._state = np.full(len(keys), seed % 2**64, np.uint64)
        for column in columns:
            self._state = _hashed(self._state + _STEP) + column
        self._state = _hashed(self._state)
        self._drawn = 0

    def __call__(self, count: int) -> NDArray[np.float64]:
        """The next numbers of each sample, ``(B, count)``, uniform in [0, 1)."""
        first = self._drawn + 1
        self._drawn += count
        steps = np.arange(first, first + count, dtype=np.uint64) * _STEP
        bits = _hashed(self._state[:, None] + steps)
        return (bits >> np.uint64(64 - _BITS)).astype(np.float64) * 2.0**-_BITS


def _hashed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        state = (state ^ (state >> shift)) * factor
    return state ^ (state >> _SHIFTS[-1])
