"""Detect the dialect of a CSV or TSV file: encoding, delimiter and quoting; check its rows."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from zoo.data.sources.records import Record, examined, records_of
from zoo.errors import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LONGEST_FIELD = 2**31 - 1

Quoting = Literal["auto", "double", "backslash", "none"]
"""How quotation marks inside a quoted field are written: doubled or after a backslash; ``none``: fields
are not quoted."""

QUOTINGS: tuple[Quoting, ...] = get_args(Quoting)


@dataclass(frozen=True)
class Dialect:
    """How to read a CSV or TSV file.

    Attributes:
        encoding: Python's name of the encoding.
        delimiter: The field separator.
        quoting: ``csv.QUOTE_MINIMAL`` or ``csv.QUOTE_NONE``.
        escape: The escape character for quotation marks; empty if they are doubled.
        note: A note for the user about how the file was parsed.
    """

    encoding: str
    delimiter: str
    quoting: Literal[0, 3]
    escape: str = ""
    note: str = ""


def dialect_of(path: Path, quoting: Quoting = "auto") -> Dialect:
    """Detect the dialect of a file, and read it once to verify it.

    TSV files are often written without quoting; a quotation mark at the start of a field would
    then swallow the rows up to the next one. Their quotes are treated as quoting only if every
    field that starts with one is properly quoted. In all other files, quotes that are not closed
    or that seem to swallow rows are errors.

    Raises:
        DataError: The file is empty or not UTF-8 or UTF-16, a row has more fields than the header,
            or its quoting is ambiguous.
    """
    encoding = _encoding(path)
    try:
        delimiter = _delimiter(path, encoding)
        dialect = _chosen(path, encoding, delimiter, quoting)
        _check_rows(path, dialect)
    except UnicodeError as error:
        raise DataError(
            f"{path} is not encoded in UTF-8: {_undecodable(path) or error}",
            hint="Save the table as 'CSV UTF-8'.",
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read as a table with --quoting {quoting}: {error}",
            hint="Fix the line, or remove --quoting.",
        ) from error
    return dialect


def _chosen(path: Path, encoding: str, delimiter: str, quoting: Quoting) -> Dialect:
    doubled = Dialect(encoding, delimiter, csv.QUOTE_MINIMAL)
    plain = Dialect(encoding, delimiter, csv.QUOTE_NONE)
    escaped = replace(doubled, escape="\\")
    auto = quoting == "auto"
    if quoting in ("backslash", "none"):
        return escaped if quoting == "backslash" else plain
    if auto and delimiter == "\t" and not _quotes_are_quoting(path, encoding):
        return plain
    try:
        records = examined(_records(path, doubled), delimiter)
    except csv.Error as error:
        if auto and _fits(path, escaped):
            return replace(escaped, note="quotation marks are escaped with backslashes")
        raise _untrusted(path, f"{error}", fits=_fits(path, plain)) from error
    if auto and records.swallowed:
        first, lines = records.swallowed
        words = f"line {first}: a quoted text spans {lines} lines that look like rows"
        raise _untrusted(path, words, fits=True, multiline=True)
    return replace(doubled, note=records.in_words())


def _untrusted(path: Path, words: str, *, fits: bool, multiline: bool = False) -> DataError:
    hint = "Fix the line: double quotation marks inside a quoted text."
    if fits:
        hint += " If the marks are part of the texts, use --quoting none."
    if multiline:
        hint += " If the text really has that many lines, use --quoting double."
    return DataError(f"{path} cannot be read as a table: {words}", hint=hint)


def _records(path: Path, dialect: Dialect) -> Iterator[Record]:
    with path.open(encoding=dialect.encoding, newline="") as file, _long_fields():
        yield from records_of(file, dialect.delimiter)


def _fits(path: Path, dialect: Dialect) -> bool:
    """Whether every row has as many fields as the header in that dialect."""
    try:
        return len({len(fields) for fields in _rows(path, dialect, strict=True)}) == 1
    except csv.Error:
        return False


def _undecodable(path: Path) -> str:
    """The first line of a file that is not UTF-8, with the reason; empty for other encodings."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return ""
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeError as error:
                return f"line {number}: {error}"
    return ""


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for bom, name in _BOMS if start.startswith(bom)), "utf-8")


def _delimiter(path: Path, encoding: str) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    with path.open(encoding=encoding, newline="") as file:
        header = next((line for line in file if line.strip()), "")
    if not header:
        raise DataError(f"{path} is empty", hint="The first line must name the columns.")
    counts = Counter(char for char in re.sub(_QUOTED, "", header) if char in ",;\t")
    return max(",;\t", key=lambda char: counts[char])


def _quotes_are_quoting(path: Path, encoding: str) -> bool:
    """Whether quotation marks in a TSV file are quoting rather than part of the texts."""
    plain = Dialect(encoding, "\t", csv.QUOTE_NONE)
    quotes = whole_lines = True
    width = 0
    for fields in _rows(path, plain):
        width = width or len(fields)
        whole_lines &= len(fields) == width
        started = [field for field in fields if field.startswith('"')]
        quotes &= all(_QUOTED.fullmatch(field) for field in started)
    if whole_lines:
        return quotes
    try:
        quoted = Dialect(encoding, "\t", csv.QUOTE_MINIMAL)
        widths = {len(fields) for fields in _rows(path, quoted, strict=True)}
    except csv.Error:
        return False
    return len(widths) == 1


def _check_rows(path: Path, dialect: Dialect) -> None:
    width = number = 0
    for number, fields in enumerate(_rows(path, dialect, strict=bool(dialect.escape))):
        width = width or len(fields)
        if len(fields) > width:
            raise DataError(
                f"{path} row {number} has {len(fields)} fields, but the header has {width}",
                hint="Put texts that contain the delimiter in double quotes.",
            )
    if not number:
        raise DataError(
            f"{path} has no rows below its header", hint="Add rows, or use another file."
        )


def _rows(path: Path, dialect: Dialect, *, strict: bool = False) -> Iterator[list[str]]:
    """The rows that are not blank, the header first."""
    with path.open(encoding=dialect.encoding, newline="") as file, _long_fields():
        reader = csv.reader(
            file,
            delimiter=dialect.delimiter,
            quoting=dialect.quoting,
            strict=strict,
            escapechar=dialect.escape or None,
        )
        yield from (fields for fields in reader if fields)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's process-wide limit of 131,072 characters per field."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
