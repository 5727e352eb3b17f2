"""Text that wraps between words, below a label."""

from __future__ import annotations

import textwrap

_LEAST = 20  # columns for the text beside a long label


def hanging(label: str, text: str, width: int) -> str:
    """``text`` after ``label``, wrapped between words and indented as far as the label is long.

    Args:
        label: Such as ``"name  "``.
        text: One line. Words longer than a line are not broken.
        width: Columns; 0 leaves all on one line.
    """
    if not width or len(label) + len(text) <= width:
        return label + text
    return textwrap.fill(
        text,
        max(width, len(label) + _LEAST),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
