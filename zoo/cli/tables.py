"""Tables on standard output: whole in a file or a pipe, fitted to the width of a terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from zoo.cli.output import clean, note, on_terminal, results, say
from zoo.system.hanging import hanging

_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?[kMBT%]?|\?")
_LONG = 200  # rows; rich takes noticeable time beyond
_PAGED = 100  # rows
_GAP = 2  # columns of the terminal between two of the table
_CUT = "…"
_SHORTEST = 8  # characters that a shortened cell keeps
_USUAL = 16  # characters that texts are shortened to before a column is left out


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    less: Sequence[str] = (),
    whole: int = 1,
    wrapped: bool = False,
) -> None:
    """Print a table on standard output. Columns of numbers are right-aligned.

    A file or a pipe gets all of it, and no cell is wrapped or cut. On a terminal that is too narrow,
    empty columns are left out, then those of ``less``, which is said below the table; then the
    longest texts are shortened, but not those of the first ``whole`` columns. Long tables go through a pager.

    Args:
        columns: Their names.
        rows: Their cells; ``None`` is empty.
        less: Columns that a narrow terminal can do without, the least important first.
        whole: Number of columns at the beginning with names that are never shortened.
        wrapped: Whether the last column wraps between words instead.
    """
    cells = [["" if cell is None else clean(cell) for cell in row] for row in rows]
    if not on_terminal():
        say(_plain(columns, cells, _numbers(cells, len(columns))))
        return
    width = terminal_width()
    kept = _kept(columns, cells, width, less, whole=whole, wrapped=wrapped)
    shown = [[row[i] for i in kept] for row in cells]
    names = [columns[i] for i in kept]
    right = _numbers(shown, len(kept))
    shown = _shortened(names, shown, right, width, whole=whole, wrapped=wrapped)
    if len(cells) > _PAGED and sys.stdin and sys.stdin.isatty():
        _page(_plain(names, shown, right))
    elif len(cells) > _LONG:
        say(_plain(names, shown, right))
    else:
        _print_rich(names, shown, right, width, wrapped=wrapped)
    if left_out := [name for name in columns if name not in names and name in less]:
        note(f"Not shown at this width: {', '.join(left_out)}.")


def fits(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
    """Whether all columns of a table are shown: not on a terminal that is too narrow."""
    if not on_terminal():
        return True
    return len(_kept(columns, cells, terminal_width(), columns[1:], whole=1, wrapped=False)) == len(
        columns
    )


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values in two columns on standard output; empty values are left out.

    On a terminal, long values wrap between words.
    """
    shown = {name: clean(value) for name, value in facts.items() if value not in (None, "")}
    widest = max((len(name) for name in facts), default=0)
    width = terminal_width() if on_terminal() else 0
    for name, value in shown.items():
        say(hanging(f"{name:<{widest}}  ", value, width))


def say_wrapped(text: str, *, label: str = "") -> None:
    """Print a line of the result, on a terminal wrapped between words, below where it begins after its label."""
    say(hanging(label, clean(text), terminal_width() if on_terminal() else 0))


def terminal_width() -> int:
    """Columns of the terminal; that of the variable ``COLUMNS``, if set."""
    return shutil.get_terminal_size().columns


def _numbers(cells: Sequence[Sequence[str]], count: int) -> list[bool]:
    """Which columns have numbers only."""
    return [
        any(column) and all(not cell or _NUMBER.fullmatch(cell) for cell in column)
        for column in ([row[i] for row in cells] for i in range(count))
    ]


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_width, column)) for column in zip(columns, *cells, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _kept(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    width: int,
    less: Sequence[str],
    *,
    whole: int,
    wrapped: bool,
) -> list[int]:
    """Indices of the columns to show."""
    widths = _widths(columns, cells)
    right = _numbers(cells, len(columns))
    for i in range(whole, len(columns)):
        if not right[i]:
            widths[i] = min(widths[i], max(_USUAL, len(columns[i])))
    if wrapped:
        widths[-1] = min(widths[-1], width // 3)
    kept = list(range(len(columns)))
    empty = [i for i in kept[1:] if cells and not any(row[i] for row in cells)]
    for i in [*empty, *(columns.index(name) for name in less if name in columns)]:
        if _total([widths[k] for k in kept]) <= width:
            break
        if i in kept:
            kept.remove(i)
    return kept


def _shortened(
    columns: Sequence[str],
    cells: list[list[str]],
    right: Sequence[bool],
    width: int,
    *,
    whole: int,
    wrapped: bool,
) -> list[list[str]]:
    """The cells, the longest texts cut so that the table fits; the first columns and numbers are whole."""
    widths = _widths(columns, cells)
    last = len(columns) - 1
    texts = [i for i in range(whole, len(columns)) if not right[i] and not (wrapped and i == last)]
    if wrapped and last:
        widths[last] = min(widths[last], max(width // 3, _SHORTEST))
    least = {i: max(len(columns[i]), _SHORTEST) for i in texts}
    while (over := _total(widths) - width) > 0:
        longest = max(texts, key=lambda i: widths[i] - least[i], default=None)
        if longest is None or widths[longest] <= least[longest]:
            break
        others = [widths[i] for i in texts if i != longest]
        step = max(1, widths[longest] - max(others, default=0))
        widths[longest] = max(least[longest], widths[longest] - min(over, step))
    limits = dict.fromkeys(range(len(columns)), sys.maxsize) | {i: widths[i] for i in texts}
    return [[_cut(cell, limits[i]) for i, cell in enumerate(row)] for row in cells]


def _cut(text: str, width: int) -> str:
    if cell_width(text) <= width:
        return text
    kept, path = text, "/" in text and " " not in text  # its end tells more
    while cell_width(kept) > width - 1:
        kept = kept[1:] if path else kept[:-1]
    return _CUT + kept if path else kept.rstrip() + _CUT


def _page(text: str) -> None:
    import click

    os.environ.setdefault("LESS", "-FRXS")  # leaves what was shown on the screen, as git does
    click.echo_via_pager(text)


def _print_rich(
    columns: Sequence[str],
    rows: list[list[str]],
    right: list[bool],
    width: int,
    *,
    wrapped: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    last = len(columns) - 1
    for i, (name, numbers) in enumerate(zip(columns, right, strict=True)):
        whole = not (wrapped and i == last)
        table.add_column(name, justify="right" if numbers else "left", no_wrap=whole)
    for row in rows:
        table.add_row(*map(Text, row))
    needed = _total(_widths(columns, rows))  # more than the terminal has, if names are that long
    Console(file=results(), width=width if wrapped else max(width, needed)).print(table)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    widths = _widths(columns, rows)
    sides = [">" if numbers else "<" for numbers in right]
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(_aligned(form, line, widths, right) for line in [columns, *rows])


def _aligned(form: str, line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    text = form.format(*line)
    if not text.isascii():  # str.format counts characters, not columns
        spaces = [
            " " * (width - cell_width(cell)) for cell, width in zip(line, widths, strict=True)
        ]
        text = "  ".join(
            space + cell if numbers else cell + space
            for cell, space, numbers in zip(line, spaces, right, strict=True)
        )
    return text.rstrip()


def cell_width(text: str) -> int:
    """Columns that ``text`` takes; a Chinese character takes two."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
