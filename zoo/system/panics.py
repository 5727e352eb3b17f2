"""Turn panics of Rust libraries, which are not an :class:`Exception`, into errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def panics_are_errors() -> Iterator[None]:
    """Raise a panic inside the block as a :class:`RuntimeError`.

    PyO3 gives its ``PanicException`` no module to import it from, and derives it from
    :class:`BaseException` (https://pyo3.rs/main/doc/pyo3/panic/struct.PanicException).
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(str(error)) from error
        raise
