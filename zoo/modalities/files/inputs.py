"""Open files for prediction: files, folders, tables of paths, and inputs in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zoo.data.given_files import open_path
from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.sequences import Inputs
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def open_files(modality: FileFunctions, given: Any, number: int, context: ReadContext) -> Inputs:
    """Open an input, or those in a folder or a table."""
    hint = (
        f"Pass files ({', '.join(modality.endings)}), folders of them, or a table with a column of "
        "paths."
    )
    if modality.in_memory(given):
        return one(given, f"{modality.noun} {number}")
    if not isinstance(given, (str, os.PathLike)):
        raise DataError(
            f"the model takes {modality.nouns}, but input {number} is a {type(given).__name__}",
            hint=hint,
        )
    return open_path(given, context, hint=hint)
