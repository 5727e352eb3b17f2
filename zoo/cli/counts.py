"""Numbers of parameters as people write them."""

from __future__ import annotations

from collections.abc import Mapping

import click

_FACTORS: Mapping[str, float] = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}


def parameter_count(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> int | None:
    """From a number that may be written with k, M or B, such as ``30M``, to a whole number."""
    if value is None:
        return None
    text = value.strip().lower().replace(",", "").replace("_", "")
    digits = text.rstrip("kmbg")
    try:
        count = float(digits) * _FACTORS[text[len(digits) :]]
    except (ValueError, KeyError):
        count = 0
    if not 0 < count < float("inf"):
        message = f"{value!r} is not a number like 25000000, 800k, 30M or 1.5B."
        raise click.BadParameter(message, ctx, parameter)
    return int(count)
