"""How much is printed beside results: set by ``-q`` and ``-v``, also for processes that are started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from zoo.system.environment import variable

_VARIABLE = "ZOO_VERBOSITY"
_QUIET, _VERBOSE = "quiet", "verbose"


def quiet() -> bool:
    """Whether only results and errors are printed."""
    return os.environ.get(_VARIABLE) == _QUIET


@contextlib.contextmanager
def being_quiet() -> Iterator[None]:
    """Print only results and errors while the block runs; libraries show no progress bars."""
    with (
        variable(_VARIABLE, _QUIET),
        variable("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        variable("TQDM_DISABLE", "1"),
    ):
        yield


@contextlib.contextmanager
def being_verbose() -> Iterator[None]:
    """Also print the log messages of zoo and libraries from level INFO on, while the block runs."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)d ms  %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with variable(_VARIABLE, _VERBOSE):
            yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
