"""Process-wide state, changed in contexts that restore it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Set the environment variable ``name`` to ``value`` while the block runs."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make modules in ``folder`` importable while the block runs; they take precedence."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
