"""The modality of a dataset that no backbone is chosen for yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from zoo.data.kind import InputKind
from zoo.data.memory.source import DataSource, is_path
from zoo.data.sources.tables import looks_like_table
from zoo.data.sources.walk import loose_files
from zoo.errors import BadFilesError, DataError

Opened = TypeVar("Opened")


def opened_as(
    source: DataSource, kinds: Sequence[InputKind], open_as: Callable[[InputKind], Opened]
) -> Opened:
    """Open data as the first modality that it is of, the likeliest first.

    Args:
        source: The data.
        kinds: The possible modalities.
        open_as: Opens it as one of them.

    Raises:
        DataError: It is of none; the error is that of the likeliest.
        BadFilesError: Inputs cannot be read.
    """
    errors = list[DataError]()
    for kind in _candidate_kinds(source, kinds):
        try:
            return open_as(kind)
        except BadFilesError:
            raise
        except DataError as error:
            errors.append(error)
    raise errors[0]


def _candidate_kinds(source: DataSource, kinds: Sequence[InputKind]) -> Sequence[InputKind]:
    """The possible modalities, likeliest first: a table rarely holds file paths."""
    likelier = sorted(kinds, key=lambda kind: kind.in_files)
    if not is_path(source):
        return likelier
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path) and not any(map(looks_like_table, loose_files(path))):
        return [kind for kind in likelier if kind.in_files] or likelier
    return likelier
