"""Batches made by threads while those before them are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # results per thread that are made before they are used, as torch's workers do


def in_threads(make: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield ``make(item)`` of the items in their order, made by threads ahead of their use.

    The threads end with the iterator; what is left is not made.

    Args:
        make: Called from several threads.
        items: Its arguments.
        threads: Number of threads.
    """
    pool, left, made = ThreadPoolExecutor(threads), iter(items), deque[Future[R]]()
    try:
        made.extend(pool.submit(make, item) for item in islice(left, _AHEAD * threads))
        while made:
            result = made.popleft().result()
            made.extend(pool.submit(make, item) for item in islice(left, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
