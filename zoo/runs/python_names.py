"""The boundary between zoo and a caller in Python: errors name options as Python spells them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zoo.engine.hyperparameters import in_python
from zoo.errors import ZooError
from zoo.runs.request import OPTIONS


@contextmanager
def python_names() -> Iterator[None]:
    """Turn ``--batch-size`` into ``batch_size`` in the errors of a public function.

    Used as a decorator. Messages are written with the options of the command line, which prints
    them that way: :attr:`zoo.ZooError.in_shell` keeps that form.
    """
    try:
        yield
    except ZooError as error:
        if error.in_shell is None:  # else a public function has called another one
            error.in_shell = error.message, error.hint
            error.message = in_python(error.message, OPTIONS)
            error.hint = in_python(error.hint, OPTIONS)
        raise
