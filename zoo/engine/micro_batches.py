"""Gradient accumulation: a batch split into micro-batches."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from zoo.engine.sources import Inputs


def micro_batches(
    inputs: Inputs, targets: Tensor, count: int, least: int
) -> Iterator[tuple[Inputs, Tensor]]:
    """Split a batch into at most ``count`` micro-batches of similar size, in order.

    None has fewer than ``least`` samples, unless the batch has.
    """
    size = -(-len(targets) // min(count, max(1, len(targets) // least)))
    starts = list(range(0, len(targets), size))
    if len(starts) > 1 and len(targets) - starts[-1] < least:
        starts.pop()  # too few samples: they go to the one before
    for start, stop in zip(starts, [*starts[1:], len(targets)], strict=True):
        part = slice(start, stop)
        if isinstance(inputs, Tensor):
            yield inputs[part], targets[part]
        else:
            yield {key: value[part] for key, value in inputs.items()}, targets[part]
