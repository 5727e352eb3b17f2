"""What a plugin does, while it is asked, that costs everybody else: time, output, imports."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE = 2.0
"""Seconds in which a plugin should have given its catalogue."""

HEAVY = ("torch", "torchvision", "timm", "transformers", "datasets", "accelerate")
"""Libraries that no catalogue needs; each takes seconds to import."""


@dataclass
class Manners:
    """What was noticed; :meth:`remarks` puts it in words.

    Attributes:
        seconds: How long the plugin took.
        imported: The heavy libraries that it imported.
        printed: Whether it wrote to standard output.
    """

    seconds: float = 0.0
    imported: tuple[str, ...] = ()
    printed: bool = False

    def remarks(self) -> str:
        """What its author should change; the empty string if nothing."""
        found = []
        if self.seconds > PATIENCE:
            found.append(f"took {self.seconds:.1f} s to give its catalogue")
        if self.imported:
            found.append(f"imports {', '.join(self.imported)} before a backbone is built")
        if self.printed:
            found.append("prints to standard output")
        return "; ".join(found)


class _Ears(io.TextIOBase):
    """Passes on to standard error what is meant for standard output, and remembers it."""

    heard = False

    def write(self, text: str) -> int:
        self.heard = self.heard or bool(text)
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextlib.contextmanager
def observed() -> Iterator[Manners]:
    """Watch the plugin that is asked inside the block; what it prints goes to standard error.

    Blocks may lie inside each other.
    """
    manners = Manners()
    ears = sys.stdout if isinstance(sys.stdout, _Ears) else _Ears()
    before, start = set(sys.modules), time.monotonic()
    try:
        with contextlib.redirect_stdout(ears):
            yield manners
    finally:
        manners.seconds = time.monotonic() - start
        manners.imported = tuple(n for n in HEAVY if n in sys.modules and n not in before)
        manners.printed = ears.heard
