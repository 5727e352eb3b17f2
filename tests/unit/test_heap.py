"""Freed memory goes back to the system, but is kept between the steps of a training."""

from __future__ import annotations

import ctypes
import platform
import resource

import psutil
import pytest
import torch

from zoo.system.memory import _CHOSEN, give_back, keeping_memory

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


LARGE, TENSORS = 2_000_000, 10  # numbers of a tensor; the allocator would map each again


def faults_of_a_step() -> int:
    """Page faults of writing large tensors that are held together, as activations are."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(LARGE) for _ in range(TENSORS)]
    held.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.fixture
def usual_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _CHOSEN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other C library is asked")
@pytest.mark.usefixtures("usual_allocator")
def test_memory_of_a_step_is_used_again_by_the_next_and_then_goes_back() -> None:
    with keeping_memory():
        first, *others = (faults_of_a_step() for _ in range(8))
        held = psutil.Process().memory_info().rss
    assert sorted(others)[3] < first / 5
    assert held - psutil.Process().memory_info().rss > 0.8 * 4 * LARGE * TENSORS


@pytest.mark.usefixtures("usual_allocator")
@pytest.mark.parametrize("name", _CHOSEN)
def test_settings_that_the_user_has_chosen_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked"))
    with keeping_memory():
        pass
