"""Open files for prediction: files, folders, tables of paths, and inputs in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.reports import Findings
from zoo.data.sequences import Inputs, Paths
from zoo.data.sources.folders import files_below
from zoo.data.sources.tables import looks_like_table
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
    path = Path(os.path.expanduser(given))
    if path.is_dir():
        return _folder(modality, path, context, hint)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}", hint=hint)
    if looks_like_table(path):
        return context.table(path)
    if not modality.is_file(path):
        raise DataError(f"{path} does not have an extension of {modality.nouns}", hint=hint)
    return one(os.fspath(path), os.fspath(path))


def _folder(modality: FileFunctions, path: Path, context: ReadContext, hint: str) -> Inputs:
    bad = context.bad
    findings = Findings("error" if bad is None else "skip")
    found = [os.path.relpath(file, path) for file in files_below(path, context.kind, findings)]
    findings.check()
    for fact in findings.notes:
        context.findings.note(fact)
    if bad is not None:  # folders that cannot be listed come after what can be read
        bad |= dict(enumerate(findings.found, start=len(found)))
    if not found and not findings.found:
        raise DataError(f"{path} holds no {modality.nouns}", hint=hint)
    return Paths.under(path, found)
