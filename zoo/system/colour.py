"""Colours on a terminal: none under ``NO_COLOR``, ``TERM=dumb`` or in a pipe; ``FORCE_COLOR`` has them."""

from __future__ import annotations

import os
from typing import TextIO


def has_colour(stream: TextIO) -> bool:
    """Whether colours may be written to ``stream``."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """``text`` in a colour of :func:`click.style`, where ``stream`` has colours."""
    if not text or not has_colour(stream):
        return text
    import click

    return click.style(text, fg=colour)
