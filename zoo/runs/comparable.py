"""Which of several runs can be compared: finished, of one task, with common validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.errors import RunError, UsageError, first_line
from zoo.runs.compare import common_samples, refuse_others
from zoo.runs.run import Run


def comparable(
    folders: Sequence[Path], *, on_own_data: bool
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The runs to compare, and why the others are skipped.

    The first run that another one fits is compared with all that fit it. Of two runs none is
    skipped: comparing them says why they cannot be compared.

    Args:
        folders: What was given, such as all in ``runs/``.
        on_own_data: Whether runs are compared on their stored predictions.

    Raises:
        UsageError: Fewer than two are left.
    """
    if len(folders) < 3:
        return tuple(folders), ()
    opened: dict[Path, Run] = {}
    reasons: list[str] = []
    for folder in folders:
        try:
            opened[folder] = Run(folder)
        except RunError as error:
            reasons.append(error.message)
    best: tuple[list[Path], list[str]] = ([], [])
    for first in opened:
        fitting, others = [first], list[str]()
        for folder, run in opened.items():
            if folder != first:
                if reason := _misfit(opened[first], run, on_own_data=on_own_data):
                    others.append(reason)
                else:
                    fitting.append(folder)
        if len(fitting) > len(best[0]):
            best = fitting, others
        if len(fitting) > 1:
            break
    if len(best[0]) < 2:
        raise UsageError(
            "fewer than two of these runs can be compared:\n" + "\n".join([*reasons, *best[1]]),
            hint="Compare finished runs of the same task and data; 'zoo runs' lists them.",
        )
    left = [folder for folder in folders if folder in best[0]]  # also what was given twice
    return tuple(left), (*reasons, *best[1])


def _misfit(first: Run, other: Run, *, on_own_data: bool) -> str:
    """Why ``other`` cannot be compared with ``first``; empty if it can."""
    try:
        refuse_others([first, other])
        if on_own_data:
            common_samples(first, other)
    except RunError as error:
        return first_line(error)
    return ""
