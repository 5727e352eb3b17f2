"""Records of a table beside the lines that they are written in: a stray quotation mark joins many."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_ROWS = 3  # lines inside of a text from which on they are rows if they look like some


class Record(NamedTuple):
    """A row of a table, and where it stands.

    Attributes:
        fields: Its cells.
        line: The number of its first line.
        lines: The lines that it is written in.
    """

    fields: list[str]
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """What the records of a table have shown.

    Attributes:
        rows: How many there are, the header aside.
        lines: How many lines they take.
        longest: The first line of the longest, and how many lines that has.
        swallowed: The same of the first whose lines look like rows themselves, if there is one.
    """

    rows: int
    lines: int
    longest: tuple[int, int]
    swallowed: tuple[int, int] | None

    def in_words(self) -> str:
        """Where rows and lines differ; else empty."""
        if self.longest[1] < 2:
            return ""
        return (
            f"{self.rows:,} rows from {self.lines:,} lines; the longest row has "
            f"{self.longest[1]} lines, from line {self.longest[0]}"
        )


def records_of(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """The records that are not blank, the header first.

    Raises:
        csv.Error: A quotation mark is not closed, or closed where its cell goes on; tells the line.
    """
    taken: list[str] = []

    def keeping() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    reader, first = csv.reader(keeping(), delimiter=delimiter, strict=True), 1
    try:
        for fields in reader:
            if fields:
                yield Record(fields, first, tuple(taken))
            first += len(taken)
            taken.clear()
    except csv.Error as error:
        raise csv.Error(f"line {first}: {error}") from error


def examined(records: Iterable[Record], delimiter: str) -> Records:
    """Compare records with lines."""
    ends: Counter[str] = Counter()
    long: list[Record] = []
    width = rows = lines = 0
    longest = (0, 1)
    for number, record in enumerate(records):
        width = width or len(record.fields)
        rows, lines = number, lines + len(record.lines) * (number > 0)
        if len(record.lines) > longest[1]:
            longest = record.line, len(record.lines)
        if len(record.lines) > 2:
            long.append(record)
        elif number:
            ends[record.fields[-1].strip()] += 1
    usual = {value for value, count in ends.items() if count > 1}
    places = (
        (record.line, len(record.lines))
        for record in long
        if _swallows(record, width, delimiter, usual)
    )
    return Records(rows, lines, longest, next(places, None))


def _swallows(record: Record, width: int, delimiter: str, usual: set[str]) -> bool:
    """Whether the lines inside of a record are rows: as many fields, or a usual last one as well."""
    inside = [line.rstrip("\r\n").split(delimiter) for line in record.lines[1:-1]]
    if width < 2 or not inside or any(len(fields) != width for fields in inside):
        return False
    return len(inside) >= _ROWS or all(fields[-1].strip() in usual for fields in inside)
