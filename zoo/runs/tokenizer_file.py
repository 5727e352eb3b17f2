"""Reads the tokenizer in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import RunError, first_line
from zoo.system.files import require_regular
from zoo.system.panics import panics_are_errors
from zoo.system.small_files import TOKENIZER_LIMIT

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer in ``file``, a run's ``tokenizer.json``.

    Raises:
        RunError: It cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        require_regular(file, limit=TOKENIZER_LIMIT)
        with panics_are_errors():
            found: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
        raise RunError(
            f"{file} cannot be read: {first_line(error)}",
            hint="Restore the file from a copy of the run.",
        ) from error
    return found
