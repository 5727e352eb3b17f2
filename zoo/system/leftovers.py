"""Remove incomplete files that killed processes left in the caches. No torch.

A writing process holds a lock on its temporary file or folder, released when the process ends.
Without lock support, files unchanged for a day are treated as abandoned.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ABANDONED = 24 * 3600.0
"""Age in seconds after which an unlocked file is treated as abandoned."""


@contextmanager
def held(temporary: Path) -> Iterator[None]:
    """Protect ``temporary``, a file or folder, from :func:`remove_abandoned` until the block ends."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.stat(temporary)  # or another process has taken it for left in the moment before
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path, patterns: Iterable[str]) -> None:
    """Remove files in ``folder`` that processes were writing when they were killed."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            with suppress(OSError):
                if _is_left(path):
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()


def _is_left(path: Path) -> bool:
    age = time.time() - path.stat().st_mtime
    if fcntl is None:
        return age > ABANDONED
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > ABANDONED
    else:
        return age > 1  # its writer may not hold the lock yet
    finally:
        os.close(descriptor)
