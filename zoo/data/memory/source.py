"""Data as the user passes it: a path, or an object in memory, and its name in records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

PREFIX = "memory:"
"""In the place of a path, in records and messages: ``memory:DataFrame``."""

DataSource: TypeAlias = Any
"""A path or ``hf:…``; or a list of ``(input, label)``, a pandas DataFrame, a ``datasets.Dataset`` or
``DatasetDict``, a map-style torch ``Dataset``, or a mapping from split names to any of these."""


def is_path(data: DataSource) -> bool:
    """Whether the data is a path, or the name of a Hub dataset."""
    return isinstance(data, (str, Path, os.PathLike))


def source_name(data: DataSource) -> str:
    """The path, or the name of data in memory: ``memory:DataFrame``."""
    return os.fspath(data) if is_path(data) else f"{PREFIX}{type(data).__name__}"


def is_in_memory(source: str) -> bool:
    """Whether a recorded source was data in memory."""
    return source.startswith(PREFIX)


def described(data: DataSource) -> dict[str, Any]:
    """Type, size and columns of data in memory, as JSON data; of a path, the path."""
    if is_path(data):
        return {"path": os.path.abspath(data)}
    kind = type(data)
    facts: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}", "size": len(data)}
    columns = getattr(data, "columns", None)
    columns = getattr(data, "column_names", None) if columns is None else columns
    return facts if columns is None else {**facts, "columns": [str(name) for name in columns]}
