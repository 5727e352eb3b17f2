"""Images that are given for a prediction: files, folders, tables of paths, and in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.reports import Findings
from zoo.data.sequences import Inputs, Paths
from zoo.data.sources.folders import files_below
from zoo.data.sources.tables import looks_like_table
from zoo.errors import DataError
from zoo.modalities.image.reading import looks_like_image

_HINT = "Give image files, folders of them, or a table with a column of their paths."


def open_images(given: Any, number: int, asked: ReadContext) -> Inputs:
    """An image as it was given, or those in a folder or a table, as :mod:`zoo.data.inputs` asks."""
    lost = asked.lost
    if isinstance(given, (bytes, Image.Image)):
        return one(given, f"image {number}")
    if isinstance(given, tuple):
        raise DataError(
            f"this run takes images; input {number} is a pair", hint="Give images one by one."
        )
    path = Path(os.path.expanduser(given))
    if os.path.isdir(path):
        findings = Findings("error" if lost is None else "skip")
        found = [os.path.relpath(file, path) for file in files_below(path, asked.kind, findings)]
        findings.check()
        for fact in findings.notes:
            asked.findings.note(fact)
        if lost is not None:  # folders that cannot be listed come behind what can be read
            lost |= dict(enumerate(findings.found, start=len(found)))
        if not found and not findings.found:
            raise DataError(f"{path} holds no images", hint="Give images, or folders of them.")
        return Paths.under(path, found)
    if not os.path.exists(path):
        raise DataError(
            f"there is no file or folder {path}",
            hint=_HINT,
        )
    if looks_like_table(path):
        return asked.table(path)
    if path.suffix and not looks_like_image(path):
        raise DataError(
            f"this run takes images; {path} is not named like one",
            hint=_HINT,
        )
    return one(os.fspath(path), os.fspath(path))
