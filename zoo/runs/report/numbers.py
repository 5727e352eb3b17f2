"""Format numbers and texts for the report."""

from __future__ import annotations

import math
import re
from typing import Any

from zoo.system.byte_sizes import in_bytes
from zoo.system.characters import UNSEEN

_UNSEEN = re.compile(rf"[{UNSEEN}\ud800-\udfff]")
"""Control characters, marks that turn the direction of writing, and halves of characters."""


def as_float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def rounded(value: Any) -> str:
    """Format a number with about four digits; a dash for NaN and missing values."""
    number = as_float(value)
    if number is None or not math.isfinite(number):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return (
        f"{number:.4f}"
        if abs(number) < 10
        else f"{number:,.1f}"
        if abs(number) < 1e6
        else f"{number:.4g}"
    )


def percent(value: float) -> str:
    return (
        f"{100 * value:.0f} %"
        if value < 0.995 or value == 1
        else f"{math.floor(1000 * value) / 10:.1f} %"
    )


def duration(value: Any) -> str:
    seconds = as_float(value)
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def byte_size(value: Any) -> str:
    count = as_float(value)
    return "" if count is None else in_bytes(count)


def visible(value: Any) -> Any:
    """Remove invisible characters from a text; the template escapes it later."""
    return _UNSEEN.sub("", value) if type(value) is str else value
