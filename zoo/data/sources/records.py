"""Compare the rows of a CSV file with its lines: a stray quotation mark joins many lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_ROWS = 3  # this many lines inside a text that look like rows are taken for rows


class Record(NamedTuple):
    """A row of a table and its lines in the file.

    Attributes:
        fields: Its cells.
        line: The number of its first line.
        lines: Its lines.
    """

    fields: list[str]
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """Statistics about the records of a table.

    Attributes:
        rows: How many there are, without the header.
        lines: How many lines they take.
        longest: First line and number of lines of the longest record.
        swallowed: The same for the first record whose lines look like rows, if there is one.
    """

    rows: int
    lines: int
    longest: tuple[int, int]
    swallowed: tuple[int, int] | None

    def in_words(self) -> str:
        """A note about rows of several lines; empty if there are none."""
        if self.longest[1] < 2:
            return ""
        return (
            f"{self.rows:,} rows from {self.lines:,} lines; the longest row has "
            f"{self.longest[1]} lines, starting at line {self.longest[0]}"
        )


def records_of(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """The records that are not blank, starting with the header.

    Raises:
        csv.Error: A quotation mark is not closed, or closed inside a cell; names the line.
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
    """Whether the inner lines of a record look like rows: same field count, usual last field."""
    inside = [line.rstrip("\r\n").split(delimiter) for line in record.lines[1:-1]]
    if width < 2 or not inside or any(len(fields) != width for fields in inside):
        return False
    return len(inside) >= _ROWS or all(fields[-1].strip() in usual for fields in inside)
