"""A few lengths to pad batches of texts to, so that shapes repeat.

Code is compiled for a shape, and a GPU's memory is reused for equal sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MULTIPLE = 4
"""Widths are multiples of it, or the network's maximum. On SST-2 in batches of 32, the widths chosen
among multiples of 8 cost 12 to 17 % more tokens than padding to the longest, among these 6 to 12 %."""

MOST = 8
"""The most widths."""

COST = 0.02
"""How many more tokens fewer widths may cost, as a share of those with every multiple."""

Counts: TypeAlias = NDArray[np.int64]


def choose_widths(lengths: NDArray[np.int64], batch_size: int, max_length: int) -> tuple[int, ...]:
    """The fewest widths that cost few more tokens than every multiple of :data:`MULTIPLE`.

    They depend on the arguments alone. The largest is at least the longest text.

    Args:
        lengths: Tokens of each text, ``(N,)``.
        batch_size: Texts in a batch; those of similar length share one.
        max_length: The most tokens that the network takes.
    """
    longest = np.sort(lengths)[::-1][::batch_size]  # of each batch
    rounded = np.minimum(-(-longest // MULTIPLE) * MULTIPLE, max_length)
    widths, counts = np.unique(rounded, return_counts=True)
    least = int(widths @ counts)
    for number in range(1, min(MOST, len(widths)) + 1):
        chosen, cost = _best(widths, counts, number)
        if cost <= (1 + COST) * least:
            break
    return tuple(int(widths[i]) for i in chosen)


def _best(widths: Counts, counts: Counts, number: int) -> tuple[Sequence[int], int]:
    """The indices of ``number`` of the widths, the last one included, that cost least; their cost."""
    before = np.concatenate([[0], np.cumsum(counts)])
    # Of the batches up to a width, which is chosen, and with that many chosen widths.
    best: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {
        (-1, 0): (0, ()),
    }
    for chosen in range(1, number + 1):
        for last in range(len(widths)):
            found = [
                (
                    best[at, chosen - 1][0]
                    + int(widths[last] * (before[last + 1] - before[at + 1])),
                    at,
                )
                for at in range(-1, last)
                if (at, chosen - 1) in best
            ]
            if found:
                cost, at = min(found)
                best[last, chosen] = (cost, (*best[at, chosen - 1][1], last))
    cost, indices = best[len(widths) - 1, number]
    return indices, cost


def width_of(longest: int, widths: Sequence[int]) -> int:
    """The smallest of the widths that is long enough; ``longest`` itself if none is."""
    return next((width for width in widths if width >= longest), longest)
