"""Open images for prediction: files, folders, tables of paths, and images in memory."""

from __future__ import annotations

from typing import Any

from zoo.data.given_files import open_path
from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.sequences import Inputs
from zoo.errors import DataError

_HINT = "Pass image files, folders of images, or a table with a column of image paths."


def open_images(given: Any, number: int, context: ReadContext) -> Inputs:
    """Open an image, or those in a folder or a table."""
    if context.kind.in_memory(given):
        return one(given, f"image {number}")
    if isinstance(given, tuple):
        raise DataError(
            f"the model takes images, but input {number} is a pair", hint="Pass single images."
        )
    return open_path(given, context, hint=_HINT)
