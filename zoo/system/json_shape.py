"""Validate keys and types of JSON data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Kinds: TypeAlias = Mapping[str, tuple[type, ...]]
"""Keys that an object must have, and the kinds that their values may be of."""

NONE = type(None)
"""The kind of ``null``."""


def shape_flaw(data: Any, kinds: Kinds) -> str:
    """Describe what is wrong with ``data``; empty if it is valid."""
    if not isinstance(data, dict):
        return "it is not an object"
    if missing := sorted(kinds.keys() - data.keys()):
        return f"it lacks {', '.join(missing)}"
    for key, kind in kinds.items():
        if type(data[key]) not in kind:  # true is not a number here
            return f"its {key} is {str(data[key])[:80]!r}"
    return ""
