"""Collect unusable inputs, to report them in one error or skip them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from zoo.errors import BadFilesError

BadFiles = Literal["error", "skip"]
_SHOWN = 20


@dataclass
class Findings:
    """Unusable files and rows of all splits.

    Attributes:
        mode: ``error``: :meth:`check` raises. ``skip``: they are left out and reported.
        found: Path (or row) and reason of each.
        notes: What else was left out or guessed, one note each.
    """

    mode: BadFiles
    found: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: str, reason: str) -> None:
        self.found.append((path, reason))

    def note(self, fact: str) -> None:
        """Keep a note for the user, without duplicates."""
        if fact not in self.notes:
            self.notes.append(fact)

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Forget what is found while the block runs."""
        found, notes = len(self.found), len(self.notes)
        try:
            yield
        finally:
            del self.found[found:], self.notes[notes:]

    def check(self) -> None:
        """Raise an error if something was found, unless it is to be skipped.

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
            hint="Fix or remove them, or skip them with --bad-files skip.",
        )

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(f"{path}: {reason}" for path, reason in self.found)
