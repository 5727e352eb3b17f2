"""Times that users type: ``90``, ``90s``, ``5m`` or ``1h``."""

from __future__ import annotations

import math

EXAMPLES = "90, 90s, 5m, 1h"
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(given: str | float) -> float:
    """Seconds from a number of them, or from text such as ``5m``.

    Raises:
        ValueError: It is not a time.
    """
    if not isinstance(given, str):
        if isinstance(given, bool):
            raise ValueError(given)
        return _finite(float(given))
    text = given.strip().lower()
    digits = text.rstrip("smh")
    unit = text[len(digits) :]
    if unit not in _SECONDS:
        raise ValueError(given)
    return _finite(float(digits) * _SECONDS[unit])


def is_duration(given: object) -> bool:
    """Whether it is a time greater than 0."""
    try:
        return isinstance(given, str | int | float) and seconds_of(given) > 0
    except ValueError:
        return False


def in_words(seconds: float) -> str:
    """Seconds, minutes and hours: ``45 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        rest = round(seconds) % 60
        return f"{round(seconds) // 60} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError(seconds)
    return seconds
