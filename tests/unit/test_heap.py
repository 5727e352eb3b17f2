"""Freed memory goes back to the system."""

from __future__ import annotations

import platform

import psutil
import pytest

from zoo.system.memory import give_back

BLOCK, BLOCKS = 100_000, 1_000  # each too small for pages of its own


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other C library is asked")
def test_what_was_freed_in_the_middle_of_the_heap_goes_back() -> None:
    blocks = [b"x" * BLOCK for _ in range(BLOCKS)]
    end = b"x" * BLOCK  # without it the allocator would itself shrink the heap
    held = psutil.Process().memory_info().rss
    blocks.clear()
    give_back()
    assert held - psutil.Process().memory_info().rss > 0.8 * BLOCK * BLOCKS
    assert len(end) == BLOCK
