"""Images that lie beside a table which does not list them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from zoo.data.columns import Columns, path_column
from zoo.data.reports import Findings
from zoo.data.tables import Table, read_table
from zoo.data.walk import walk
from zoo.errors import DataError


def note_unlisted(root: Path, tables: Iterable[Path], columns: Columns, findings: Findings) -> None:
    """Tell how many images in ``root`` and below none of its tables lists.

    A table names images by paths from where it lies, or from a folder beside it. Nothing is told
    where a table cannot be read or has no column of paths: whoever reads it says so.
    """
    listed = set[str]()
    for path in tables:
        try:
            listed |= _listed(read_table(path, columns.quoting), columns)
        except DataError:
            return
    if not listed:
        return
    pictures = [os.path.relpath(path, root) for path in walk(root).pictures]
    missed = [path for path in pictures if not _is_listed(root, path, listed)]
    if missed:
        more = ", …" if len(missed) > 1 else ""
        images = "image" if len(pictures) == 1 else "images"
        findings.note(
            f"{len(missed):,} of {len(pictures):,} {images} in {root} not used: the table does not "
            f"list them ({missed[0]}{more})"
        )


def _listed(table: Table, columns: Columns) -> set[str]:
    """The paths in a table's column of images; none where the column holds something else."""
    column = path_column(table, columns)
    values = [] if column is None else table.data.data.column(column).to_pylist()
    return {os.path.normpath(each) for each in values if isinstance(each, str) and each.strip()}


def _is_listed(root: Path, path: str, listed: set[str]) -> bool:
    parts = Path(path).parts
    ends = (os.path.join(*parts[start:]) for start in range(len(parts)))
    return any(end in listed for end in ends) or os.path.abspath(root / path) in listed
