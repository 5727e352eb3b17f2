"""Images that lie beside a table which does not list them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo.data.columns import Columns, read_part
from zoo.data.reports import Findings
from zoo.data.samples import Paths
from zoo.data.split_folders import with_images_found
from zoo.data.tables import read_table
from zoo.data.walk import walk
from zoo.errors import DataError


def note_unlisted(
    root: Path, tables: Mapping[str, Path], columns: Columns, findings: Findings
) -> None:
    """Tell how many images in ``root`` and below none of its tables, by split, lists.

    Nothing is told where a table cannot be read: whoever reads it says so.
    """
    listed = set[str]()
    for split, path in tables.items():
        try:
            listed.update(_listed(path, split, columns))
        except DataError:
            return
    if not listed:  # a table that holds its images
        return
    images = [os.path.relpath(path, root) for path in walk(root).pictures]
    missed = [path for path in images if os.path.abspath(root / path) not in listed]
    if missed:
        more = ", …" if len(missed) > 1 else ""
        noun = "image" if len(images) == 1 else "images"
        findings.note(
            f"{len(missed):,} of {len(images):,} {noun} in {root} not used: the table does not "
            f"list them ({missed[0]}{more})"
        )


def _listed(path: Path, split: str, columns: Columns) -> Iterator[str]:
    """The images of a table, where its reader looks for them."""
    aside = Findings("skip")  # what its reader tells itself
    part = read_part(read_table(path, columns.quoting), "image", columns, aside, labelled=False)
    inputs = with_images_found(part, split, aside).inputs
    if isinstance(inputs, Paths):
        yield from (os.path.abspath(inputs[row]) for row in range(len(inputs)))
