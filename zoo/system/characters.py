"""Remove or escape invisible characters in names of files and classes."""

from __future__ import annotations

import re

JOINERS = "\u200c\u200d"
"""What scripts and emoji need between their letters; on a page it stays."""

_MARKS = (
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
"""Marks that turn the direction of writing, breaks, blanks without width, annotations and tags."""

UNSEEN = rf"\x00-\x08\x0b-\x1f\x7f-\x9f{_MARKS}"
"""A class of a regular expression, without its brackets: control characters (but for the tab and the
end of a line) and marks, not the joiners."""

_ON_A_TERMINAL = re.compile(f"[{UNSEEN}{JOINERS}]")


def clean(text: object) -> str:
    """Return ``text`` as one line without control characters, as names of files may contain them."""
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return clean_lines(line.replace("\n", " ").replace("\t", " "))


def clean_lines(text: str) -> str:
    """Return ``text`` without control characters, except for line breaks and tabs."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return _ON_A_TERMINAL.sub("", text)


def escaped(text: str) -> str:
    """Escape all control characters in a JSON document, including those that JSON allows."""
    return text if text.isascii() else _ON_A_TERMINAL.sub(lambda c: _escape(c[0]), text)


def _escape(character: str) -> str:
    import json

    return json.dumps(character)[1:-1]
