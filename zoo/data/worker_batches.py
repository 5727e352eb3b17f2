"""Sending batches from worker processes to the main process, and what can go wrong."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

from torch.utils.data._utils import signal_handling

from zoo.errors import WorkersError

_SOCKET = len("/pymp-12345678/listener-12345678")
"""What ``multiprocessing`` appends to the temporary folder for the socket that sends tensors."""

_MAX_PATH = 103
"""Maximum bytes of a socket's path on macOS, the strictest system."""

_SHORT = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class Packed:
    """A batch in transit: the values are in shared memory, ``data`` is the pickled handle."""

    data: bytes

    def open(self) -> Any:
        """Unpack the batch; works only once.

        Raises:
            WorkersError: Its shared memory cannot be opened.
        """
        try:
            return ForkingPickler.loads(self.data)
        except (OSError, RuntimeError, EOFError) as error:
            raise batch_not_sent(str(error) or type(error).__name__) from error

    def pin_memory(self) -> Any:
        """The batch in pinned memory; called by torch's pin-memory thread."""
        try:
            batch = self.open()
        except WorkersError as error:
            return error
        tensors = batch.items() if isinstance(batch, dict) else ()
        return {name: tensor.pin_memory() for name, tensor in tensors} or batch


@dataclass(frozen=True)
class Unsent:
    """Why a worker failed to send a batch."""

    reason: str


def pack(batch: Any) -> Packed | Unsent:
    """Pack a batch in a worker, for sending.

    The queue would do so in a background thread whose errors are lost, and the main process would
    wait for the batch forever.
    """
    try:
        return Packed(bytes(ForkingPickler.dumps(batch)))
    except (OSError, RuntimeError) as error:  # out of sockets, file handles or shared memory
        return Unsent(str(error) or type(error).__name__)


def batch_not_sent(reason: str) -> WorkersError:
    """The error for a batch that could not be sent or received."""
    return WorkersError(
        f"a worker process failed to send a batch: {reason}",
        hint="Use --workers 0; or raise the limit on open files (ulimit -n), free space in "
        "/dev/shm, or set TMPDIR to a short path.",
    )


def dead_worker(workers: Any) -> WorkersError | None:
    """The error for worker processes that have died, if any have."""
    for worker in workers:
        worker.join(0.1)  # its sockets close a moment before it ends
    codes = [worker.exitcode for worker in workers if worker.exitcode is not None]
    if not codes:
        return None
    code = codes[0]
    how = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
    return WorkersError(
        f"a dataloader worker process {how}",
        hint="The system kills processes when it runs out of memory: try fewer --workers, or "
        "--workers 0.",
    )


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def shorten_sockets() -> None:
    """Use a temporary folder whose path is short enough for sockets."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) + _SOCKET > _MAX_PATH:
        usable = (short for short in _SHORT if os.access(short, os.W_OK | os.X_OK))
        tempfile.tempdir = next(usable, folder)


@contextlib.contextmanager
def sigchld_handler_kept() -> Iterator[None]:
    """Keep torch's SIGCHLD handler for dead workers away, also one that is already installed.

    It raises wherever the main process is, such as in the middle of a step, after which nothing
    could be saved. Waiting for a batch from a dead worker fails within 5 seconds anyway. The next
    dataloader of another library installs it again.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    before = _before_torch(signal.getsignal(signal.SIGCHLD))
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
        signal_handling._SIGCHLD_handler_set = False


def _before_torch(handler: Any) -> Any:
    """``handler``, or the one that torch's replaced if it is torch's."""
    if getattr(handler, "__module__", None) != signal_handling.__name__:
        return handler
    replaced = inspect.getclosurevars(handler).nonlocals.get("previous_handler")
    return replaced or signal.SIG_DFL
