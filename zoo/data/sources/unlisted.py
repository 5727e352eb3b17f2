"""Note input files that a table does not list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo.data.kind import InputKind
from zoo.data.reports import Findings
from zoo.data.sequences import Paths
from zoo.data.sources.columns import Columns, read_part
from zoo.data.sources.split_folders import with_files_found
from zoo.data.sources.tables import read_table
from zoo.data.sources.walk import walk
from zoo.errors import DataError


def note_unlisted(
    root: Path,
    kind: InputKind,
    tables: Mapping[str, Path],
    columns: Columns,
    findings: Findings,
) -> None:
    """Note how many inputs in ``root`` and its subfolders are in none of its tables, by split.

    Nothing is noted if a table cannot be read; reading it raises an error later.
    """
    listed = set[str]()
    for split, path in tables.items():
        try:
            listed.update(_listed(path, kind, split, columns))
        except DataError:
            return
    if not listed:  # the table holds the inputs themselves
        return
    files = [os.path.relpath(path, root) for path in walk(root).inputs(kind)]
    missed = [path for path in files if os.path.abspath(root / path) not in listed]
    if missed:
        more = ", …" if len(missed) > 1 else ""
        noun = kind.noun if len(files) == 1 else kind.nouns
        findings.note(
            f"ignored {len(missed):,} of {len(files):,} {noun} in {root} that the table does not "
            f"list ({missed[0]}{more})"
        )


def _listed(path: Path, kind: InputKind, split: str, columns: Columns) -> Iterator[str]:
    """The absolute paths of the inputs that a table lists."""
    aside = Findings("skip")  # reported when the table is read for good
    part = read_part(read_table(path, columns.quoting), kind, columns, aside, labelled=False)
    inputs = with_files_found(part, kind, split, aside).inputs
    if isinstance(inputs, Paths):
        yield from (os.path.abspath(inputs[row]) for row in range(len(inputs)))
