"""Open texts for prediction: texts, text pairs, and tables or files of them."""

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
    """A text, even if it looks like the path of an existing file."""


def open_texts(given: Any, number: int, context: ReadContext) -> Inputs:
    """Open a text or a text pair, or those in a table or a ``.txt`` file."""
    return (_pairs if context.pairs else _texts)(given, number, context)


def _pairs(given: Any, number: int, context: ReadContext) -> Inputs:
    if isinstance(given, tuple) and len(given) == 2:
        return one((_utf8(given[0], number), _utf8(given[1], number)), f"pair {number}")
    _refuse_others(given, number, context.kind)
    if not isinstance(given, (tuple, Text)) and looks_like_table(given):
        return _texts(Path(given), number, context)
    raise DataError(
        f"the model takes text pairs, but input {number} is not a pair",
        hint="Use a table with both columns, or standard input ('-') with two tab-separated texts "
        "per line.",
    )


def _texts(given: Any, number: int, context: ReadContext) -> Inputs:
    _refuse_others(given, number, context.kind)
    if isinstance(given, tuple):
        raise DataError(
            f"the model takes single texts, but input {number} is a pair",
            hint="Pass single texts.",
        )
    if isinstance(given, Text) or (isinstance(given, str) and not _is_path(given, context.kind)):
        return one(_utf8(given, number), f"text {number}")
    path = Path(os.path.expanduser(given))
    for other in context.kind.others:
        if other.is_file(path):
            raise _not_text(f"the model takes texts, not {other.nouns}: {path}")
    if os.path.isdir(path):
        raise _not_text(f"the model takes texts, not folders: {path}")
    if not os.path.exists(path):
        raise DataError(
            f"there is no file {path}",
            hint="Use the path of a table, or texts on standard input ('-').",
        )
    if looks_like_table(path):
        return context.table(path)
    if path.suffix.lower() == ".txt":
        return _lines(path, context.findings)
    raise _not_text(f"{path} is neither a table nor a .txt file")


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
"""File extensions that no one-word text ends in."""


def names_file(text: str, kind: InputKind) -> bool:
    """Whether a text ends in a file extension: ``notes.txt``, ``my photo.jpg``.

    Args:
        text: A text or a path.
        kind: The text modality; the others know their file extensions.
    """
    known = looks_like_table(text) or any(other.is_file(text) for other in kind.others)
    return "\n" not in text and (known or os.path.splitext(text)[1].lower() in _FILES)


def _is_path(text: str, kind: InputKind) -> bool:
    """Whether a string is meant as the path of a file or folder.

    A text of several words that ends in a file extension is a path only if the file exists.
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
    """The lines of a text file as other programs count them: form feeds do not end a line."""
    ending = "\n" if "\n" in content else "\r"  # old Macs use the latter alone
    lines = content.split(ending)
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines]


def blank_lines(lines: Sequence[str], where: str, findings: Findings) -> None:
    """Note blank lines; they are predicted too, so that predictions align with lines."""
    if blank := [i for i, line in enumerate(lines, 1) if not line.strip()]:
        findings.note(
            f"{where} has {len(blank):,} blank line{'s' * (len(blank) > 1)}, the first is line "
            f"{blank[0]:,}; their predictions are meaningless"
        )


def _lines(path: Path, findings: Findings) -> Listed:
    try:
        with open_regular(path) as file:
            lines = lines_of(file.read().decode("utf-8-sig"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read as UTF-8 text: {reason}",
            hint="Check its permissions, or save it as UTF-8.",
        ) from error
    if not any(line.strip() for line in lines):
        return Listed((), ())
    blank_lines(lines, str(path), findings)
    return Listed(tuple(lines), tuple(f"{path} line {i}" for i in range(1, len(lines) + 1)))


def _utf8(given: str, number: int) -> str:
    """The text, if it is valid UTF-8, which tokenizers and tables need."""
    if not is_utf8(given):
        raise DataError(
            f"input {number} is not valid UTF-8: {given[:60]!r}",
            hint="Encode it as UTF-8, or use standard input ('-'), where invalid bytes are replaced.",
        )
    return str(given)


def _not_text(message: str) -> DataError:
    return DataError(
        message,
        hint="Pass texts ('-' reads them from standard input), or a table with a column of texts.",
    )


def _refuse_others(given: Any, number: int, kind: InputKind) -> None:
    for other in kind.others:
        if other.in_memory(given):
            raise _not_text(f"the model takes texts, not {other.nouns}: input {number}")
