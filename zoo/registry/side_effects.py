"""Side effects of asking a plugin for its catalogue: time, output, heavy imports."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SECONDS = 2.0
"""Maximum time for a plugin to return its catalogue, in seconds."""

HEAVY = ("torch", "torchvision", "timm", "transformers", "datasets", "accelerate")
"""Libraries that a catalogue must not import; each takes seconds."""


@dataclass
class SideEffects:
    """Observed side effects.

    Attributes:
        seconds: Elapsed time.
        imported: Heavy libraries imported.
        printed: Whether standard output was written to.
    """

    seconds: float = 0.0
    imported: tuple[str, ...] = ()
    printed: bool = False

    def remarks(self) -> str:
        """Describe what the author should change; empty if nothing."""
        found = []
        if self.seconds > MAX_SECONDS:
            found.append(f"takes {self.seconds:.1f} s to return its catalogue")
        if self.imported:
            found.append(f"imports {', '.join(self.imported)} before a backbone is built")
        if self.printed:
            found.append("prints to standard output")
        return "; ".join(found)


class _StdoutToStderr(io.TextIOBase):
    """Redirects standard output to standard error, and records whether it was used."""

    used = False

    def write(self, text: str) -> int:
        self.used = self.used or bool(text)
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextlib.contextmanager
def observed() -> Iterator[SideEffects]:
    """Record side effects of the code in the block; its output goes to standard error.

    Blocks may be nested.
    """
    side_effects = SideEffects()
    stdout = sys.stdout if isinstance(sys.stdout, _StdoutToStderr) else _StdoutToStderr()
    before, start = set(sys.modules), time.monotonic()
    try:
        with contextlib.redirect_stdout(stdout):
            yield side_effects
    finally:
        side_effects.seconds = time.monotonic() - start
        side_effects.imported = tuple(n for n in HEAVY if n in sys.modules and n not in before)
        side_effects.printed = stdout.used
