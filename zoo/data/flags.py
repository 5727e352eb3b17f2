"""Labels as zeros and ones: one column per label, or one vector per row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BETWEEN = re.compile(r"[\s,]+")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def flag_of(value: Any) -> float | None:
    """0 or 1 for a cell like ``1``, ``0.0``, ``true`` or ``no``; else ``None``."""
    text = str(value).strip().lower()
    try:
        number = _WORDS[text] if text in _WORDS else float(text)
    except ValueError:
        return None
    return number if number in (0.0, 1.0) else None


def vector_of(value: Any) -> list[Any] | None:
    """The numbers of a list cell, ``[0.0, 1.0]`` or the text ``"[0 1]"``; else ``None``."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.startswith("[") and text.endswith("]")):
            return None
        try:
            return [_number(part) for part in _BETWEEN.split(text[1:-1].strip(" ,")) if part]
        except ValueError:
            return None
    if not isinstance(value, list) or not all(isinstance(each, (int, float)) for each in value):
        return None
    return value


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def vectors(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """Vectors as ``(rows, labels)``, NaN for empty cells; ``None`` if the lists are not vectors.

    Vectors have the same length, and hold fractions, floats 0.0 and 1.0, or repeated zeros and
    ones. Other lists of integers are lists of class ids.
    """
    filled = [None if value in (None, "") else vector_of(value) for value in values]
    given = [each for each in filled if each is not None]
    absent = sum(value in (None, "") for value in values)
    if len(given) + absent < len(values) or not given:
        return None
    length = len(given[0])
    if length < 2 or any(len(each) != length for each in given):
        return None
    numbers = [number for each in given for number in each]
    repeats = any(len(set(each)) < length for each in given)
    whole = all(isinstance(number, int) for number in numbers)
    if all(number in (0, 1) for number in numbers):
        if whole and not repeats:
            return None
    elif all(float(number).is_integer() for number in numbers):
        return None
    nothing = [np.nan] * length
    return np.array([nothing if each is None else each for each in filled], dtype=np.float64)
