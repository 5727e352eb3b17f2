"""Human-readable byte sizes."""

from __future__ import annotations


def in_bytes(count: float) -> str:
    """Format a size with about three digits: ``12 kB``, ``3.4 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
