"""What a fine-tune says while it works: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.tasks.metrics import main_metric, titles

Advance = Callable[[], None]


class Reporter(Protocol):
    """Where the engine sends what a person may want to read."""

    def header(self, facts: Mapping[str, str]) -> None:
        """What is about to happen, a fact a line."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def steps(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """A stretch of ``total`` steps; the function given is called after each."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """A finished epoch, one of ``epochs``; ``record`` is its line of ``metrics.jsonl``."""


class Watchful:
    """Passes everything on, and between two steps notices that somebody wants to stop.

    What cannot be written does not end the run. A reader that has gone (``2>&1 | head``) counts as
    a signal to stop; a terminal that has gone without one, or a log on a full disk, do not.

    Args:
        reporter: Where everything goes.
        interrupts: Whether somebody wants to stop.
        stops: Whether the functions of :meth:`steps` raise; of several processes none may alone.
    """

    def __init__(self, reporter: Reporter, interrupts: Interrupts, *, stops: bool = True) -> None:
        self._reporter, self._interrupts, self._stops = reporter, interrupts, stops

    def header(self, facts: Mapping[str, str]) -> None:
        """As the reporter's."""
        with self._unheard():
            self._reporter.header(facts)

    def note(self, text: str) -> None:
        """As the reporter's."""
        with self._unheard():
            self._reporter.note(text)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """As the reporter's."""
        with self._unheard():
            self._reporter.epoch(record, epochs)

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        """As the reporter's; the function given raises :class:`Interrupted` after a signal."""
        with self._reporter.steps(what, total) as advance:

            def watch() -> None:
                with self._unheard():
                    advance()
                if self._stops and self._interrupts.received is not None:
                    raise Interrupted

            yield watch

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                self._interrupts.reader_gone()


class Quiet:
    """Says nothing."""

    def header(self, facts: Mapping[str, str]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:  # noqa: ARG002
        """Nothing."""
        yield lambda: None

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Nothing."""


class Console:
    """Writes to standard error: a progress bar where that is a terminal, else lines alone."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        class Enduring(RichConsole):
            def on_broken_pipe(self) -> None:
                raise  # rich, which would exit, calls this as it handles the error

        # Without standard error, as under pythonw, what is said goes nowhere.
        self._console = Enduring(
            file=sys.stderr or io.StringIO(), highlight=False, markup=False, soft_wrap=True
        )

    def header(self, facts: Mapping[str, str]) -> None:
        """The facts, aligned."""
        width = max(len(name) for name in facts)
        for name, fact in facts.items():
            self._print(f"{name:<{width}}  {fact}")

    def note(self, text: str) -> None:
        """The text, on a line of its own."""
        self._print(text)

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        """A bar that goes away when it is full; in a log, nothing."""
        if not self._console.is_terminal:
            yield lambda: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """One line: which epoch, losses, the metric that a run is evaluated by, speed.

        Then what the speed is lost to, as shares of the time and of the tokens.
        """
        metric = main_metric(record, str(record.get("metric", "")))
        lost = "".join(
            f"  {what} {record[what]:.0%}" for what in ("waiting", "padding") if what in record
        )
        strength = f"  strength {record['strength']:g}" if "strength" in record else ""
        self._print(
            f"{record['phase']} {record['epoch_of_phase']}/{epochs}{strength}  "
            f"train loss {record['train_loss']:.4f}  "
            f"val loss {record['loss']:.4f}  "
            f"val {titles()[metric]} {record[metric]:.4f}  "
            f"{record['samples_per_second']:.0f}/s{lost}"
            f"{'  *' if record['best'] else ''}"
        )

    def _print(self, text: str) -> None:
        self._console.print("".join(c for c in text if c.isprintable()))
        self._console.file.flush()
