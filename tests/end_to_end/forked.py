"""``zoo`` in a process that is forked from this one: real signals and exits, and nothing imported again."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from zoo.system.tensors.torchvision_operators import declare_missing_operators


class Forked:
    """A command that runs in a process, a session and a folder of its own.

    Args:
        arguments: As a user types them after ``zoo``.
        cwd: The folder.
        site: A folder of distributions that are installed for this command alone.
        variables: Environment variables.
    """

    returncode: int | None = None

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        site: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        _import_what_commands_need()
        self._site, self._variables = site, variables
        self._streams = [tempfile.TemporaryFile() for _ in ("out", "err")]  # noqa: SIM115
        self.pid = os.fork()
        if not self.pid:
            self._become([str(argument) for argument in arguments], cwd)

    def _become(self, arguments: list[str], cwd: Path) -> None:
        status = 1
        try:
            os.setsid()
            os.chdir(cwd)
            os.environ.update(self._variables)
            for number, stream in enumerate(self._streams, 1):
                os.dup2(stream.fileno(), number)
            # What pytest has put there instead writes into its own files.
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1) for number in (1, 2))
            sys.path.insert(0, str(cwd))
            if self._site:
                sys.path.append(str(self._site))
            sys.argv = ["zoo", *arguments]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            from zoo.cli import main

            main()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def read(self) -> tuple[str, str]:
        """What it has written so far: standard output, standard error."""
        texts = []
        for stream in self._streams:
            content = os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)
            texts.append(content.decode())
        return texts[0], texts[1]

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """What it has written when it has ended; it is killed when the seconds are over."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise TimeoutError("\n".join(self.read()))
            time.sleep(0.02)
        return self.read()


def _import_what_commands_need() -> None:
    """Here once, instead of in every process."""
    declare_missing_operators()
    for name in ("torchvision", "sklearn.metrics", "zoo.cli", "zoo.training.finetune"):
        importlib.import_module(name)
