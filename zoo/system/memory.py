"""Return freed memory to the operating system."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def give_back() -> None:
    """Return freed memory to the system; the allocator would keep most of it.

    Useful before forking, since each process inherits the heap, and before large allocations of
    another kind. Takes milliseconds. Only works with glibc (``malloc_trim(3)``).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def trimmed(items: Iterable[T], *, every: int) -> Iterator[T]:
    """Yield the items; return freed memory to the system before each ``every``-th one.

    Allocating and freeing large tensors in turn would make the heap grow: glibc rarely reuses the
    space of a tensor, because tensors are aligned.
    """
    for number, item in enumerate(items, start=1):
        if number % every == 0:
            give_back()
        yield item
