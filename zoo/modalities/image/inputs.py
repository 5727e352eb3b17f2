"""Open images for prediction: files, folders, tables of paths, and images in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.reports import Findings
from zoo.data.sequences import Inputs, Paths
from zoo.data.sources.folders import files_below
from zoo.data.sources.tables import looks_like_table
from zoo.errors import DataError
from zoo.modalities.image.reading import looks_like_image

_HINT = "Pass image files, folders of images, or a table with a column of image paths."


def open_images(given: Any, number: int, context: ReadContext) -> Inputs:
    """Open an image, or those in a folder or a table."""
    bad = context.bad
    if context.kind.in_memory(given):
        return one(given, f"image {number}")
    if isinstance(given, tuple):
        raise DataError(
            f"the model takes images, but input {number} is a pair", hint="Pass single images."
        )
    path = Path(os.path.expanduser(given))
    if os.path.isdir(path):
        findings = Findings("error" if bad is None else "skip")
        found = [os.path.relpath(file, path) for file in files_below(path, context.kind, findings)]
        findings.check()
        for fact in findings.notes:
            context.findings.note(fact)
        if bad is not None:  # folders that cannot be listed come after what can be read
            bad |= dict(enumerate(findings.found, start=len(found)))
        if not found and not findings.found:
            raise DataError(f"{path} holds no images", hint=_HINT)
        return Paths.under(path, found)
    if not os.path.exists(path):
        raise DataError(
            f"there is no file or folder {path}",
            hint=_HINT,
        )
    if looks_like_table(path):
        return context.table(path)
    if path.suffix and not looks_like_image(path):
        raise DataError(
            f"{path} is not a supported image: unknown file extension",
            hint=_HINT,
        )
    return one(os.fspath(path), os.fspath(path))
