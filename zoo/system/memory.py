"""Return freed memory to the operating system."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def give_back() -> None:
    """Return what has been freed to the system, of which the allocator otherwise keeps most.

    Worth it before a fork, whose processes each hold what the heap held then, and before something
    large that is of another kind. It takes milliseconds. Only glibc can (``malloc_trim(3)``).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def trimmed(items: Iterable[T], *, every: int) -> Iterator[T]:
    """The items; before each ``every``-th of them, what has been freed goes back to the system.

    Of large tensors made and freed in turn, the heap would become large: glibc seldom finds room for
    a tensor, which is aligned, where one of its size has been.
    """
    for number, item in enumerate(items, start=1):
        if number % every == 0:
            give_back()
        yield item
