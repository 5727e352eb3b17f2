"""Texts that are given for a prediction: texts, pairs, and tables or files of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.data.inputs import one
from zoo.data.kind import InputKind, ReadContext
from zoo.data.reports import Findings
from zoo.data.sequences import Inputs, Listed
from zoo.data.sources.tables import looks_like_table
from zoo.errors import DataError
from zoo.system.files import is_utf8, open_regular


class Text(str):
    """A text, even where it reads like the path of a file that is there."""


def open_texts(given: Any, number: int, asked: ReadContext) -> Inputs:
    """Texts as they were given, or those in a table or a ``.txt`` file; or pairs of them."""
    return (_pairs if asked.pairs else _texts)(given, number, asked)


def _pairs(given: Any, number: int, asked: ReadContext) -> Inputs:
    if isinstance(given, tuple) and len(given) == 2:
        return one((_utf8(given[0], number), _utf8(given[1], number)), f"pair {number}")
    _refuse_others(given, number, asked.kind)
    if not isinstance(given, (tuple, Text)) and looks_like_table(given):
        return _texts(Path(given), number, asked)
    raise DataError(
        f"this run takes pairs of texts; input {number} is none",
        hint="Give a table with both columns, or on standard input ('-') two texts a line with "
        "a tab between them.",
    )


def _texts(given: Any, number: int, asked: ReadContext) -> Inputs:
    _refuse_others(given, number, asked.kind)
    if isinstance(given, tuple):
        raise DataError(
            f"this run takes one text each; input {number} is a pair", hint="Give texts one by one."
        )
    if isinstance(given, Text) or (isinstance(given, str) and not _is_path(given, asked.kind)):
        return one(_utf8(given, number), f"text {number}")
    path = Path(os.path.expanduser(given))
    for other in asked.kind.others:
        if other.is_file(path):
            raise _not_text(f"not {other.nouns}: {path}")
    if os.path.isdir(path):
        raise _not_text(f"not folders: {path}")
    if not os.path.exists(path):
        raise DataError(
            f"there is no file {path}",
            hint="Give a table, or texts on standard input with '-'.",
        )
    if looks_like_table(path):
        return asked.table(path)
    if path.suffix.lower() == ".txt":
        return _lines(path, asked.findings)
    raise _not_text(f"tables and .txt files of them; {path} is neither")


_FILES = frozenset(
    [
        ".txt",
        ".text",
        ".md",
        ".rst",
        ".log",
        ".htm",
        ".html",
        ".xml",
        ".pdf",
        ".doc",
        ".docx",
        ".odt",
        ".rtf",
        ".xls",
        ".xlsx",
        ".ods",
        ".gz",
        ".bz2",
        ".xz",
        ".zip",
        ".zst",
        ".tar",
        ".tgz",
        ".arrow",
        ".feather",
        ".avro",
        ".orc",
        ".db",
        ".sqlite",
        ".npy",
        ".npz",
        ".pkl",
        ".yaml",
        ".yml",
    ]
)
"""What names of files end in that hold texts, and that no text of one word does."""


def names_file(text: str, kind: InputKind) -> bool:
    """Whether a text ends as the name of a file does: ``notes.txt``, ``my photo.jpg``.

    Args:
        text: What may be a text or a path.
        kind: Texts; the other modalities say what their files are called.
    """
    known = looks_like_table(text) or any(other.is_file(text) for other in kind.others)
    return "\n" not in text and (known or os.path.splitext(text)[1].lower() in _FILES)


def _is_path(text: str, kind: InputKind) -> bool:
    """Whether a string is meant as a path: the name of a file, or a folder's path.

    A text of several words that ends like a file is one only where that file is there.
    """
    if any(char.isspace() for char in text.strip()):
        return names_file(text, kind) and _exists(text)
    if names_file(text, kind) or text.startswith(_PLACES):
        return True
    return (os.sep in text or bool(_SUFFIX.search(text))) and _exists(text)


_PLACES = tuple(start + os.sep for start in (".", "..", "~"))
_SUFFIX = re.compile(r"\.\w{1,8}$")


def _exists(text: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(text))
    except ValueError:  # a NUL
        return False


def lines_of(content: str) -> list[str]:
    """The lines of a text file as other programs count them: form feeds and the like end none."""
    ending = "\n" if "\n" in content else "\r"  # the latter alone is of old Macs
    lines = content.split(ending)
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines]


def blank_lines(lines: Sequence[str], where: str, findings: Findings) -> None:
    """Note how many lines hold nothing; each has its answer, so that answers and lines align."""
    if blank := [i for i, line in enumerate(lines, 1) if not line.strip()]:
        findings.note(
            f"{where} has {len(blank):,} blank line{'s' * (len(blank) > 1)}, the first at "
            f"{blank[0]:,}; answered like the others, and meaning nothing"
        )


def _lines(path: Path, findings: Findings) -> Listed:
    try:
        with open_regular(path) as file:
            lines = lines_of(file.read().decode("utf-8-sig"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as UTF-8 text: {reason}") from error
    if not any(line.strip() for line in lines):
        return Listed((), ())
    blank_lines(lines, str(path), findings)
    return Listed(tuple(lines), tuple(f"{path} line {i}" for i in range(1, len(lines) + 1)))


def _utf8(given: str, number: int) -> str:
    """The text, of which tokenizers and tables demand that it be one in UTF-8."""
    if not is_utf8(given):
        raise DataError(
            f"input {number} is not valid UTF-8: {given[:60]!r}",
            hint="Give it in UTF-8, or on standard input ('-'), where other bytes are replaced.",
        )
    return str(given)


def _not_text(why: str) -> DataError:
    return DataError(
        f"this run takes texts, {why}",
        hint="Give texts on standard input with '-', or a table with a column of texts.",
    )


def _refuse_others(given: Any, number: int, kind: InputKind) -> None:
    for other in kind.others:
        if other.in_memory(given):
            raise _not_text(f"not {other.nouns}: input {number}")
