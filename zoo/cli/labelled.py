"""The options of commands that read labelled data and train nothing on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoo.cli.columns import one_or_more
from zoo.tasks import CHOICES

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--text-column",
        multiple=True,
        callback=one_or_more,
        metavar="NAME",
        help="Input column: texts or image paths; twice for text pairs.",
    ),
    click.option(
        "--label-column",
        multiple=True,
        callback=one_or_more,
        metavar="NAME",
        help="Label column; repeat for several targets, or one 0/1 column per label.",
    ),
    click.option(
        "--task",
        default="auto",
        type=click.Choice(CHOICES),
        help="Task (default: single- or multi-label, as the labels are).",
    ),
    click.option(
        "--bad-files",
        default="error",
        type=click.Choice(["error", "skip"]),
        help="What to do with unreadable inputs (default: error).",
    ),
    click.option(
        "--quoting",
        type=click.Choice(["auto", "double", "backslash", "none"]),
        help="Quoting in CSV and TSV tables (default: detected).",
    ),
)


def labelled_data(command: Command) -> Command:
    """Give ``command`` the options that say how the data are read, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
