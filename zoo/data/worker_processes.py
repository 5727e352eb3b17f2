"""Start and end of worker processes, and their signals."""

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
    """Block SIGINT and SIGTERM in the block, and in processes started there until they unblock."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(_: int) -> None:
    """Set up a worker process."""
    shorten_sockets()
    _leave_signals_to_the_main_process()


def _leave_signals_to_the_main_process() -> None:
    """Ignore signals that are meant for the main process.

    Ctrl-C reaches every process of the terminal, and SIGTERM may reach a whole process group. The
    main process handles them, and needs batches to finish its step. A SIGTERM from the main
    process, sent by ``torch`` at the end, ends the worker; macOS and Windows do not tell the
    sender, so any SIGTERM does. The worker was started with both signals blocked.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_on_sigterm_from, args=(os.getppid(),), daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_on_sigterm_from(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)


def end_workers(running: Any) -> None:
    """End the workers of a torch dataloader iterator, if it has any."""
    workers = getattr(running, "_workers", ())
    if workers:
        running._shutdown_workers()  # torch has no public method for this
    for worker in workers:
        if worker.is_alive():  # a worker out of file handles does not end by itself
            worker.kill()
            worker.join()
