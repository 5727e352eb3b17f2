"""A step computed in parts: gradient accumulation."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from zoo.engine.sources import Inputs


def micro_batches(
    inputs: Inputs, targets: Tensor, count: int, least: int
) -> Iterator[tuple[Inputs, Tensor]]:
    """A batch cut into at most ``count`` parts of like size, in its order.

    None has fewer than ``least`` samples where the batch has as many.
    """
    size = -(-len(targets) // min(count, max(1, len(targets) // least)))
    starts = list(range(0, len(targets), size))
    if len(starts) > 1 and len(targets) - starts[-1] < least:
        starts.pop()  # the part before takes what would be too few
    for start, stop in zip(starts, [*starts[1:], len(targets)], strict=True):
        part = slice(start, stop)
        if isinstance(inputs, Tensor):
            yield inputs[part], targets[part]
        else:
            yield {key: value[part] for key, value in inputs.items()}, targets[part]
