"""Which messages of the zoo no test has seen.

Every place in the zoo and its plugins that makes a :class:`zoo.ZooError` or a warning is known from
the source. While tests run, each notes that it was reached; a full everyday run fails if some were
not, and names them (``tests/conftest.py``). Those of the last such run, with exit status 1 if there
are any:

    python -m tests.messages

Processes that tests start as ``zoo …`` note nothing: a message that they alone show counts as unseen.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import errors

ROOT = Path(__file__).parents[1]
FOLDER = "ZOO_TESTS_MESSAGES"
"""The variable that names the folder of notes; processes that tests start inherit it."""

LAST = ROOT / ".pytest_cache" / "messages.txt"
"""The places that the last full run has reached."""

ERRORS = {
    name
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, errors.ZooError)
}

UNREACHED: Mapping[str, str] = {}
"""Messages that no everyday test reaches, by :attr:`Message.key`, and why."""


@dataclass(frozen=True)
class Message:
    """A place where a message is made.

    Attributes:
        file: Relative to the project's root.
        lines: The first and the last line of the call.
        text: What it says, as it stands in the source.
    """

    file: str
    lines: tuple[int, int]
    text: str

    @property
    def key(self) -> str:
        """What stays the same where lines are added above."""
        return f"{self.file}: {self.text}"

    def reached(self, places: set[tuple[str, int]]) -> bool:
        """Whether a call on one of its lines is among ``places``."""
        first, last = self.lines
        return any((self.file, line) in places for line in range(first, last + 1))


def survey() -> list[Message]:
    """Every message in the source, in order."""
    files = [*sorted(ROOT.glob("zoo/**/*.py")), *sorted(ROOT.glob("plugins/**/*.py"))]
    return [message for file in files for message in _messages(file)]


def _messages(file: Path) -> Iterator[Message]:
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _makes_a_message(node.func):
            text = " ".join(
                (ast.get_source_segment(source, (node.args or [node])[0]) or "").split()
            )
            assert node.end_lineno is not None
            lines = node.lineno, node.end_lineno
            yield Message(file.relative_to(ROOT).as_posix(), lines, text)


def _makes_a_message(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute):
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        return (owner, called.attr) == ("warnings", "warn")  # errors are called by their own names
    return isinstance(called, ast.Name) and called.id in ERRORS


def watch() -> None:
    """From now on, note in the folder of notes where errors and warnings are made."""
    seen: set[tuple[str, int]] = set()

    def note() -> None:
        frame = sys._getframe(2)
        while frame.f_back and Path(frame.f_code.co_filename).name == "errors.py":
            frame = frame.f_back
        place = frame.f_code.co_filename, frame.f_lineno
        if place in seen or not place[0].startswith(str(ROOT)):
            return
        seen.add(place)
        with open(Path(os.environ[FOLDER], str(os.getpid())), "a", encoding="utf-8") as notes:
            notes.write(f"{Path(place[0]).relative_to(ROOT).as_posix()}:{place[1]}\n")

    init, warn = errors.ZooError.__init__, warnings.warn

    @functools.wraps(init)
    def made(*args: Any, **options: Any) -> None:
        note()
        init(*args, **options)

    @functools.wraps(warn)
    def warned(message: Any, category: Any = None, stacklevel: int = 1, **options: Any) -> None:
        note()
        warn(message, category, stacklevel + 1, **options)

    errors.ZooError.__init__ = made  # type: ignore[method-assign]
    warnings.warn = warned


def places(lines: Iterable[str]) -> set[tuple[str, int]]:
    """From the lines of notes to files and lines."""
    split = (line.strip().rpartition(":") for line in lines)
    return {(file, int(number)) for file, _, number in split}


def gathered(*, keep: bool) -> set[tuple[str, int]]:
    """What the processes of this run have noted.

    Args:
        keep: Whether ``python -m tests.messages`` is to tell of this run from now on.
    """
    folder = Path(os.environ[FOLDER])
    lines = [line for file in folder.iterdir() for line in file.read_text("utf-8").splitlines()]
    if keep:
        LAST.parent.mkdir(exist_ok=True)
        LAST.write_text("\n".join(sorted(set(lines))), encoding="utf-8")
    return places(lines)


def unreached(found: set[tuple[str, int]]) -> list[Message]:
    """The messages that none of ``found`` is a place of, and that have no reason for it."""
    return [m for m in survey() if m.key not in UNREACHED and not m.reached(found)]


def main() -> None:
    """The command line; the exit status is 1 if a message was not seen."""
    if not LAST.exists():
        raise SystemExit("no full run of the tests has left its notes: pytest")
    found = places(LAST.read_text(encoding="utf-8").splitlines())
    left = unreached(found)
    for message in left:
        print(f"{message.file}:{message.lines[0]}: {message.text}")
    for key, reason in UNREACHED.items():
        print(f"{key}\n    not in everyday tests: {reason}")
    print(f"{len(survey())} messages, {len(left)} of them not seen in the last full run")
    raise SystemExit(1 if left else 0)


if __name__ == "__main__":
    main()
