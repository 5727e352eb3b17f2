"""Counts in words: ``1 file``, ``2 files``."""

from __future__ import annotations


def counted(count: float, noun: str) -> str:
    """``count`` and the noun, in the plural unless the count is 1.

    Args:
        count: The number.
        noun: In the singular; its plural ends in ``s``.
    """
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"
