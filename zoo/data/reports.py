"""Collects what cannot be read, to stop once with all of it or to go on without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from zoo.errors import BadFilesError

BadFiles = Literal["error", "skip"]
_SHOWN = 20


@dataclass
class Findings:
    """Files and rows that cannot be used, over all splits that are read.

    Attributes:
        mode: ``error``: :meth:`settle` stops. ``skip``: they are left out, and reported.
        found: Path (or row) and reason of each.
        notes: What has been left out or guessed beside them, a fact each.
    """

    mode: BadFiles
    found: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: str, reason: str) -> None:
        self.found.append((path, reason))

    def note(self, fact: str) -> None:
        """Keep a fact about the data that the user should know; the same one once."""
        if fact not in self.notes:
            self.notes.append(fact)

    def settle(self) -> None:
        """Stop if something was found and must not be left out.

        Raises:
            BadFilesError: Lists what was found; ``paths`` holds all of it.
        """
        if not self.found or self.mode == "skip":
            return
        listed = [f"{path}: {reason}" for path, reason in self.found[:_SHOWN]]
        if len(self.found) > _SHOWN:
            listed.append(f"and {len(self.found) - _SHOWN:,} more")
        things = "input" if len(self.found) == 1 else "inputs"
        raise BadFilesError(
            f"{len(self.found):,} {things} cannot be used: {'; '.join(listed)}",
            paths=tuple(path for path, _ in self.found),
            hint="Fix or remove them, or leave them out with --bad-files skip.",
        )

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(f"{path}: {reason}" for path, reason in self.found)
