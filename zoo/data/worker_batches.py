"""How a batch gets from a worker process to the main one, or the reason why it does not."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

from zoo.errors import WorkersError

_SOCKET = len("/pymp-12345678/listener-12345678")
"""What ``multiprocessing`` adds to the temporary folder, for the socket that tensors are sent by."""

_LONGEST = 103
"""Bytes that the path of a socket may have where it may have the fewest, on macOS."""

_SHORT = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class Packed:
    """A batch on its way: the values lie in shared memory, and ``data`` says where."""

    data: bytes

    def open(self) -> Any:
        """The batch; a second time it cannot be had.

        Raises:
            WorkersError: Its memory cannot be reached.
        """
        try:
            return ForkingPickler.loads(self.data)
        except (OSError, RuntimeError, EOFError) as error:
            raise lost(str(error) or type(error).__name__) from error

    def pin_memory(self) -> Any:
        """The batch in memory that a GPU reads from, for the thread of torch's that pins."""
        try:
            batch = self.open()
        except WorkersError as error:
            return error
        tensors = batch.items() if isinstance(batch, dict) else ()
        return {name: tensor.pin_memory() for name, tensor in tensors} or batch


@dataclass(frozen=True)
class Unsent:
    """Why a worker could not send a batch."""

    reason: str


def pack(batch: Any) -> Packed | Unsent:
    """``batch`` as it is sent from a worker.

    Left to the queue, it would be packed by a thread of its own, whose errors reach nobody: the
    main process would wait for that batch for ever.
    """
    try:
        return Packed(bytes(ForkingPickler.dumps(batch)))
    except (OSError, RuntimeError) as error:  # no socket, no more files, no more shared memory
        return Unsent(str(error) or type(error).__name__)


def lost(reason: str) -> WorkersError:
    """What is said of a batch that a worker could not send, or that could not be received."""
    return WorkersError(
        f"a worker process could not hand over its batch: {reason}",
        hint="Try --workers 0, which needs no other processes; or raise the limit of open files "
        "(ulimit -n), make room in /dev/shm, or set TMPDIR to a folder with a short name.",
    )


def dead_worker(workers: Any) -> WorkersError | None:
    """What is said of worker processes that have ended by themselves, if any have."""
    for worker in workers:
        worker.join(0.1)  # its sockets are closed a moment before it has ended
    codes = [worker.exitcode for worker in workers if worker.exitcode is not None]
    if not codes:
        return None
    how = f"was killed by {_signal(-codes[0])}" if codes[0] < 0 else f"ended with {codes[0]}"
    return WorkersError(
        f"a worker process that prepares batches {how}",
        hint="Where memory is short, the system kills them: try fewer --workers, or --workers 0.",
    )


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def shorten_sockets() -> None:
    """Let this process put its sockets into a folder whose name is short enough for them."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) + _SOCKET > _LONGEST:
        usable = (short for short in _SHORT if os.access(short, os.W_OK | os.X_OK))
        tempfile.tempdir = next(usable, folder)


@contextlib.contextmanager
def sigchld_handler_kept() -> Iterator[None]:
    """Take no handler of torch's over for workers that die.

    It raises in whatever the main process is doing, such as the middle of a step, after which
    nothing could be saved. Whoever waits for a batch of a dead worker is told within 5 seconds.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
