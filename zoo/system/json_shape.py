"""Validate keys and types of JSON data, and replace numbers that JSON cannot represent."""

from __future__ import annotations

import math
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


def finite(value: Any) -> Any:
    """JSON data with ``None`` for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
