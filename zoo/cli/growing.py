"""Show a ranking on the terminal while it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zoo.cli.output import clean
from zoo.ranking.ranking import Watch

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.engine.progress import Advance
    from zoo.ranking.results import Ranked, Ranking

Cells = Callable[[int, "Ranked"], Sequence[object]]


class _Growing:
    """The best rows so far, and a line with the current step. A reporter."""

    def __init__(self, live: Live, columns: Sequence[str], cells: Cells, top: int) -> None:
        self._live, self._columns, self._cells, self._top = live, columns, cells, top
        self._rows: Sequence[Ranked] = ()
        self._now = ""

    def started(self, name: str, number: int, count: int) -> None:
        """A backbone is next."""
        self._show(f"{number}/{count} {name}")

    def added(self, ranking: Ranking, row: Ranked) -> None:  # noqa: ARG002 - the watch's signature
        """One more row."""
        self._rows = ranking.ranked
        self._show(self._now)

    def header(self, facts: Mapping[str, str]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Printed above the table."""
        self._live.console.print(Text(clean(text)))

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        """Counted in the line below the table."""
        before, done = self._now, 0

        def advance() -> None:
            nonlocal done
            done += 1
            self._show(f"{before}: {what} {done}/{total}", now=before)

        yield advance
        self._show(before)

    def reading(self, loss: float, speed: float) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Nothing."""

    def _show(self, line: str, *, now: str | None = None) -> None:
        self._now = line if now is None else now
        table = Table(box=None, pad_edge=False)
        for column in self._columns:
            table.add_column(column)
        for place, row in enumerate(self._rows[: self._top], start=1):
            table.add_row(*(Text(clean(cell)) for cell in self._cells(place, row)))
        self._live.update(Group(table, Text(clean(line))))


@contextmanager
def growing_table(
    console: Console, columns: Sequence[str], cells: Cells, top: int
) -> Iterator[Watch]:
    """A watch that shows the ranking on ``console``, until the block ends; then it is cleared."""
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        growing = _Growing(live, columns, cells, top)
        yield Watch(growing, growing.started, growing.added)
