"""Free memory: how much there is, returning it to the operating system, and keeping it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from zoo.system.processor import cgroups

T = TypeVar("T")

_CHOSEN = (
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
)  # by the user

# Parameters of mallopt(3), and the values that glibc itself reaches once large tensors were freed.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


def give_back() -> None:
    """Return freed memory to the system; the allocator would keep most of it.

    Useful before forking, since each process inherits the heap, and before large allocations of
    another kind. Takes milliseconds. Only works with glibc (``malloc_trim(3)``).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def available_bytes(root: Path = Path("/")) -> int:
    """The memory that this process may still take: the system's, or its cgroup's if that is less.

    Args:
        root: The folder that contains ``proc`` and ``sys``.
    """
    import psutil

    return int(min([psutil.virtual_memory().available, *_left_in_groups(root)]))


def _left_in_groups(root: Path) -> list[int]:
    """What the limit of each cgroup of this process leaves; the cache of files counts as free."""
    files = {  # limit, usage, and the name of the cache that is freed on demand
        2: ("memory.max", "memory.current", "inactive_file"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    found = []
    for version, folder in cgroups("memory", root):
        limit, usage, cache = files[version]
        with contextlib.suppress(OSError, ValueError, KeyError):
            stat = (folder / "memory.stat").read_text(encoding="ascii").split()
            freed = int(dict(zip(stat[::2], stat[1::2], strict=False))[cache])
            used = int((folder / usage).read_text(encoding="ascii"))
            found.append(max(0, int((folder / limit).read_text(encoding="ascii")) - used + freed))
    return found


def trimmed(items: Iterable[T], *, every: int) -> Iterator[T]:
    """Yield the items; return freed memory to the system before each ``every``-th one.

    Allocating and freeing large tensors in turn would make the heap grow: glibc rarely reuses the
    space of a tensor, because tensors are aligned.
    """
    for number, item in enumerate(items, start=1):
        if number % every == 0:
            give_back()
        yield item


@contextlib.contextmanager
def keeping_memory() -> Iterator[None]:
    """Keep freed memory while the block runs, which repeats steps of equal sizes; then return it.

    Otherwise the system would hand out the pages of each large tensor again in every step, and clear
    them. Only works with glibc, and not if the user has chosen its settings.
    """
    mallopt = None
    if sys.platform == "linux" and not any(name in os.environ for name in _CHOSEN):
        with contextlib.suppress(AttributeError, OSError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
    if mallopt is None:
        yield
        return
    for parameter, value in _KEEPING.items():
        mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            mallopt(parameter, value)
        give_back()
