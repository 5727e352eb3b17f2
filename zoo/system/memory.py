"""Memory that this process has freed and still holds."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def give_back() -> None:
    """Return what has been freed to the system, of which the allocator otherwise keeps most.

    Worth it before a fork, whose processes each hold what the heap held then, and before something
    large that is of another kind. It takes milliseconds. Only glibc can (``malloc_trim(3)``).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
