"""Processes that train and are killed: forked after the imports, so that each costs little."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

KILLED, FAILED, STOPPED = "killed", "failed", "stopped"
DONE = "done"

_STOPPED_STATUS = 77


def fork(work: Callable[[], object]) -> int:
    """Do ``work`` in a child process; returns its id."""
    from zoo.errors import Stopped

    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()
        status = 0
    except Stopped:
        status = _STOPPED_STATUS
    except KeyboardInterrupt:  # before training had begun
        status = _STOPPED_STATUS
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(child: int) -> str:
    """How the child ended."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return KILLED
    return {0: DONE, _STOPPED_STATUS: STOPPED}.get(os.WEXITSTATUS(status), FAILED)


def strike(child: int, after: float, number: int, folder: Path | None = None) -> str:
    """Send ``number`` to the child ``after`` seconds, and wait for its end.

    With ``folder`` the seconds count from the moment that the run's folder is there, so that the
    blow falls into the training rather than into what comes before.
    """
    deadline = time.monotonic() + 60
    while folder is not None and not (folder / "run.json").exists():
        if time.monotonic() > deadline or os.waitid(
            os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            break
        time.sleep(0.005)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)
    return wait(child)
