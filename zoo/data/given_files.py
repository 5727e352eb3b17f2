"""Open files for prediction: one, those in a folder, or those in a table of paths."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.data.inputs import one
from zoo.data.kind import ReadContext
from zoo.data.reports import Findings
from zoo.data.sequences import Inputs, Paths
from zoo.data.sources.folders import files_below
from zoo.data.sources.tables import looks_like_table
from zoo.errors import DataError


def open_path(given: str | os.PathLike[str], context: ReadContext, *, hint: str) -> Inputs:
    """Open a file, or those in a folder or a table. A file without an extension may be an input.

    Args:
        given: The path; ``~`` is the home folder.
        context: Says which modality is read, and how.
        hint: For errors: what may be passed.

    Raises:
        DataError: It does not exist, or does not hold inputs of the modality.
    """
    kind, path = context.kind, Path(os.path.expanduser(given))
    if os.path.isdir(path):
        return _folder(path, context, hint)
    if not os.path.exists(path):
        raise DataError(f"there is no file or folder {path}", hint=hint)
    if looks_like_table(path):
        return context.table(path)
    if path.suffix and not kind.is_file(path):
        raise DataError(f"{path} is not a supported {kind.noun}: unknown file extension", hint=hint)
    return one(os.fspath(path), os.fspath(path))


def _folder(path: Path, context: ReadContext, hint: str) -> Inputs:
    bad = context.bad
    findings = Findings("error" if bad is None else "skip")
    found = [os.path.relpath(file, path) for file in files_below(path, context.kind, findings)]
    findings.check()
    for fact in findings.notes:
        context.findings.note(fact)
    if bad is not None:  # folders that cannot be listed come after what can be read
        bad |= dict(enumerate(findings.found, start=len(found)))
    if not found and not findings.found:
        raise DataError(f"{path} holds no {context.kind.nouns}", hint=hint)
    return Paths.under(path, found)
