"""Worker processes from their start to their end: which signals they get, and that they do end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo.data.worker_batches import shorten_sockets


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Signals come when the block ends, and in processes that it starts when these let them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(_: int) -> None:
    """What a worker process does first."""
    shorten_sockets()
    _leave_signals_to_the_main_process()


def _leave_signals_to_the_main_process() -> None:
    """Ctrl-C reaches every process of the terminal, and SIGTERM may reach every one of a group.

    What becomes of them, the main process decides, and to finish its step it needs the batches.
    A SIGTERM of its own, which ``torch`` sends at the end, ends the worker; macOS and Windows do
    not say who sent one, and there any does. The worker was started with both held.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_when_told_by(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)


def end_workers(running: Any) -> None:
    """End the workers of an iterator of torch's, where it has some; they end once."""
    workers = getattr(running, "_workers", ())
    if workers:
        running._shutdown_workers()  # torch has no public way
    for worker in workers:
        if worker.is_alive():  # one that may open no more files does not end by itself
            worker.kill()
            worker.join()
