"""Signals: the first is noted, those beside it too, and a later one does what it always did."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from zoo.engine import interrupts
from zoo.engine.interrupts import SIGNALS, Interrupts
from zoo.engine.progress import Quiet, StoppingReporter


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """The handlers that Python starts with; a test may change them."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def at_once(*numbers: int) -> None:
    """Have Python find all of them the next time that it looks.

    They are sent to this thread: of those for the process, any other thread may take one sooner.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        signal.pthread_kill(threading.get_ident(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def first_and_later(first: int, *others: int) -> None:
    """Send the first while signals are noted, and after a while the others."""
    with Interrupts(announces=False).recorded():
        signal.raise_signal(first)
        time.sleep(1.5 * interrupts._TOGETHER)
        for number in others:
            signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_noted_and_reported_and_afterwards_all_is_as_before(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = Interrupts()
    with watched.recorded():
        signal.raise_signal(number)
    assert watched.received == number
    assert "press Ctrl-C again" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.filterwarnings("error")
def test_two_at_once_are_one(capfd: pytest.CaptureFixture[str]) -> None:
    watched = Interrupts()
    with watched.recorded():
        at_once(signal.SIGINT, signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert watched.received == signal.SIGINT
    said = capfd.readouterr().err
    assert said.count("press Ctrl-C again") == 1
    assert "race" not in said


def test_a_later_ctrl_c_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        first_and_later(signal.SIGTERM, signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_later_one_goes_to_the_handler_that_was_there() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    first_and_later(signal.SIGTERM, signal.SIGTERM, signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 2


def test_of_what_a_shell_has_background_jobs_ignore_a_later_ctrl_c_counts() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        first_and_later(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)


def test_a_later_sigterm_ends_the_process() -> None:
    code = """
import signal, time
from zoo.engine.interrupts import Interrupts
with Interrupts().recorded():
    signal.raise_signal(signal.SIGINT)
    time.sleep(0.3)
    signal.raise_signal(signal.SIGTERM)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


def test_outside_the_main_thread_nothing_is_touched() -> None:
    seen: list[object] = []

    def work() -> None:
        with Interrupts().recorded():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_under_nohup_a_lost_terminal_changes_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watched = Interrupts()
    with watched.recorded():
        signal.raise_signal(signal.SIGHUP)
    assert watched.received is None


class Deaf(Quiet):
    """Cannot be written to."""

    def __init__(self, number: int) -> None:
        self._number = number

    def note(self, text: str) -> None:
        raise OSError(self._number, text)


@pytest.mark.parametrize(
    ("number", "received"),
    [(errno.EPIPE, signal.SIGPIPE), (errno.EIO, None), (errno.ENOSPC, None)],
)
def test_a_reader_that_goes_stops_the_run_and_a_log_that_fails_does_not(
    number: int, received: int | None
) -> None:
    interrupts = Interrupts()
    StoppingReporter(Deaf(number), interrupts).note("out of memory")
    assert interrupts.received == received
