"""How the threads of torch's operators wait for each other.

By default a thread that waits spins. Where another process needs the core, it spins for the whole
of its share, and the thread that it waits for cannot run. With ``OMP_WAIT_POLICY=PASSIVE`` a waiting thread
sleeps. libgomp reads the variable once, when torch is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zoo.system.environment import variable

POLICY = "OMP_WAIT_POLICY"

_CHOSEN = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # by the user; libomp has the last


def sleep_when_waiting() -> None:
    """Let the threads of this process, and of those that it starts, sleep while they wait.

    Without effect if the user has chosen, or torch is loaded.
    """
    if not any(name in os.environ for name in _CHOSEN):
        os.environ[POLICY] = "PASSIVE"


@contextmanager
def sleeping() -> Iterator[None]:
    """The same if torch is loaded inside the block; the environment is restored."""
    if "torch" in sys.modules or any(name in os.environ for name in _CHOSEN):
        yield
        return
    with variable(POLICY, "PASSIVE"):
        yield
