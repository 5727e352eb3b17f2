"""Progress of a fine-tune: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from zoo.engine.interrupts import Interrupted, Interrupts
from zoo.engine.notebook_bar import NotebookBar, in_notebook
from zoo.engine.time_limit import TimeLimit
from zoo.system.hanging import hanging
from zoo.system.plurals import counted
from zoo.system.verbosity import quiet
from zoo.tasks.metrics import main_metric, number, title_of

Advance = Callable[[], None]

SLOW_LOADING = 0.2
"""Share of an epoch's time spent waiting for data from which its line tells the user."""


class Reporter(Protocol):
    """Receives the header, notes, progress and epochs of a fine-tune."""

    def header(self, facts: Mapping[str, str]) -> None:
        """Print a summary of the training that is about to start: labels of lines, and their text."""

    def note(self, text: str) -> None:
        """Print a message to the user."""

    def steps(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Show a progress bar of ``total`` steps; call the yielded function after each step."""

    def reading(self, loss: float, speed: float) -> None:
        """Show the training loss of the epoch so far, and its samples per second."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Print a finished epoch.

        Args:
            record: Its line of ``metrics.jsonl``, and the ``title`` of the selection metric.
            epochs: The number of epochs of the phase.
        """


class FoldReporter:
    """Passes steps and epochs on to another reporter: header and notes are those of the whole run.

    Args:
        reporter: The other reporter.
        title: The fold, such as ``fold 1 of 5``.
    """

    def __init__(self, reporter: Reporter, title: str) -> None:
        self._reporter, self._title = reporter, title

    def header(self, facts: Mapping[str, str]) -> None:
        """The title alone."""
        del facts
        self._reporter.note(self._title)

    def note(self, text: str) -> None:
        """Nothing."""

    def steps(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """As the reporter's."""
        return self._reporter.steps(what, total)

    def reading(self, loss: float, speed: float) -> None:
        """As the reporter's."""
        self._reporter.reading(loss, speed)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """As the reporter's."""
        self._reporter.epoch(record, epochs)


class GuardedReporter:
    """Passes everything on to another reporter; steps that a time limit is too short for are refused.

    Args:
        reporter: The other reporter.
        limit: The time limit.
    """

    def __init__(self, reporter: Reporter, limit: TimeLimit) -> None:
        self.header, self.note = reporter.header, reporter.note
        self.reading, self.epoch = reporter.reading, reporter.epoch
        self.steps = limit.guarded(reporter.steps)


class StoppingReporter:
    """Passes everything on to another reporter, and stops between two steps after a signal.

    A failed write does not end the run. A closed pipe (``2>&1 | head``) counts as a signal to
    stop; a closed terminal without a signal, or a log on a full disk, does not.

    Args:
        reporter: The other reporter.
        interrupts: The signals received so far.
        stops: Whether the functions of :meth:`steps` raise; one of several processes must not.
    """

    def __init__(self, reporter: Reporter, interrupts: Interrupts, *, stops: bool = True) -> None:
        self._reporter, self._interrupts, self._stops = reporter, interrupts, stops

    def header(self, facts: Mapping[str, str]) -> None:
        """As the reporter's."""
        with self._writing():
            self._reporter.header(facts)

    def note(self, text: str) -> None:
        """As the reporter's."""
        with self._writing():
            self._reporter.note(text)

    def reading(self, loss: float, speed: float) -> None:
        """As the reporter's."""
        with self._writing():
            self._reporter.reading(loss, speed)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """As the reporter's."""
        with self._writing():
            self._reporter.epoch(record, epochs)

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        """As the reporter's; the function it yields raises :class:`Interrupted` after a signal."""
        with self._reporter.steps(what, total) as advance:

            def step() -> None:
                with self._writing():
                    advance()
                if self._stops and self._interrupts.received is not None:
                    raise Interrupted

            yield step

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                self._interrupts.pipe_closed()


class Quiet:
    """Prints nothing."""

    def header(self, facts: Mapping[str, str]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:  # noqa: ARG002
        """Nothing."""
        yield lambda: None

    def reading(self, loss: float, speed: float) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Nothing."""


class Console:
    """Writes lines, and on a terminal or in a notebook a progress bar.

    To standard error; in a notebook, which would colour that red, to the output of the cell.

    Args:
        spelled: What headers and notes go through; they name the options of the command line.
    """

    def __init__(self, spelled: Callable[[str], str] = str) -> None:
        from rich.console import Console as RichConsole

        from zoo.engine.live_view import Facts

        class PipeErrorConsole(RichConsole):
            def on_broken_pipe(self) -> None:
                raise  # rich calls this while it handles the error, and would exit

        self._spelled, self._facts = spelled, Facts()
        self._bar = NotebookBar() if in_notebook() else None
        # There is no standard error under pythonw.
        self._console = PipeErrorConsole(
            file=sys.stdout if self._bar else sys.stderr or io.StringIO(),
            force_jupyter=False,
            quiet=quiet(),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        # FORCE_COLOR makes a terminal of a pipe for rich: of its colours, but not of its width.
        self._on_terminal = self._console.file.isatty() and not self._console.is_dumb_terminal

    def header(self, facts: Mapping[str, str]) -> None:
        """The lines, aligned."""
        width = max(len(name) for name in facts)
        for name, fact in facts.items():
            self._print(self._spelled(fact), label=f"{name:<{width}}  ")

    def note(self, text: str) -> None:
        """The message, on a line of its own."""
        self._print(self._spelled(text))

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        """A live view that disappears at the end; nothing in a log."""
        if self._bar:
            with self._bar.steps(what, total) as advance:
                yield advance
            return
        if not self._on_terminal:
            yield lambda: None
            return
        from zoo.engine.live_view import LiveView

        with LiveView(self._console, self._facts) as view:
            task = view.add_task(what, total=total)
            yield lambda: view.advance(task)

    def reading(self, loss: float, speed: float) -> None:
        """Keep them for the live view."""
        self._facts.reading(loss, speed)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """Print one line: phase and epoch, losses, the selection metric, samples per second of training.

        It continues with the fraction of padding among the tokens, with that of the time spent
        waiting for data if it is high, and with the steps that loss scaling skipped. "best" marks the best epoch so far.
        """
        chosen = str(record.get("metric", ""))
        metric = main_metric(record, chosen)
        title = record.get("title") if metric == chosen else None
        extras = f"  padding {record['padding']:.0%}" if "padding" in record else ""
        if (waiting := record.get("waiting", 0)) >= SLOW_LOADING:
            extras += f"  {waiting:.0%} of the time waiting for data"
        if skipped := record.get("skipped_steps"):
            extras += f"  {counted(skipped, 'step')} skipped (loss scaling)"
        solved = "strength" in record  # for all strengths at once, so that one has no speed
        strength = f"  strength {record['strength']:g}" if solved else ""
        speed = "" if solved else f"  {record['samples_per_second']:.0f}/s"
        loss = f"train loss {record['train_loss']:.4f}  " if "train_loss" in record else ""
        self._facts.epoch(record)
        self._print(
            f"{loss}"
            f"val loss {record['loss']:.4f}  "
            f"val {title or title_of(metric)} {number(record[metric])}"
            f"{speed}{extras}"
            f"{'  best' if record['best'] else ''}",
            label=f"{record['phase']} {record['epoch_of_phase']}/{epochs}{strength}  ",
            best=record["best"],
        )

    def _print(self, text: str, *, label: str = "", best: bool = False) -> None:
        """A line; on a terminal, wrapped between words, below where it began after its label."""
        from rich.text import Text

        width = self._console.width if self._on_terminal else 0
        line = "".join(c for c in text if c.isprintable())
        shown = Text(hanging(label, line, width))
        if best:
            shown.highlight_regex(r"\bbest$", "green")
        self._console.print(shown)
        self._console.file.flush()
