"""Numbers of parameters and bytes as people write them."""

from __future__ import annotations

from collections.abc import Mapping

import click

_FACTORS: Mapping[str, float] = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}
_UNITS: Mapping[str, float] = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
_LETTERS = "kmbgt "


def parameter_count(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> int | None:
    """Parse a number with an optional k, M or B, such as ``30M``."""
    if value is None:
        return None
    count = _number(value, _FACTORS)
    if not 0 < count < float("inf"):
        message = f"{value!r} is not a valid number. Examples: 25000000, 800k, 30M, 1.5B."
        raise click.BadParameter(message, ctx, parameter)
    return int(count)


def byte_count(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse a size with an optional kB, MB, GB or TB, such as ``2GB``, into bytes."""
    if value is None:
        return None
    count = _number(value, _UNITS)
    if not 0 <= count < float("inf"):
        message = f"{value!r} is not a valid size. Examples: 800MB, 2GB, 1.5TB."
        raise click.BadParameter(message, ctx, parameter)
    return int(count)


def _number(value: str, units: Mapping[str, float]) -> float:
    """The number, or NaN."""
    text = value.strip().lower().replace(",", "").replace("_", "")
    digits = text.rstrip(_LETTERS)
    try:
        return float(digits) * units[text[len(digits) :].strip()]
    except (ValueError, KeyError):
        return float("nan")
