"""Suppress or shorten the output of libraries. No torch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from zoo.errors import first_line

_ADVICE = (
    " This could be because the operator doesn't exist"  # then torch names Facebook's employees
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and logs of libraries, whose results are checked afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def in_a_line(error: BaseException) -> str:
    """The first line of a library's error, without advice for those who develop the library."""
    return first_line(error).partition(_ADVICE)[0][:300]
