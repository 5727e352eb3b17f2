"""The options of commands that read labelled data and train nothing on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoo.cli.columns import one_or_more

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--text-column",
        multiple=True,
        callback=one_or_more,
        metavar="NAME",
        help="Column of texts, or of pictures' paths; twice for pairs of texts.",
    ),
    click.option(
        "--label-column",
        multiple=True,
        callback=one_or_more,
        metavar="NAME",
        help="Column of labels; repeat for numbers or for a 0/1 column a label.",
    ),
    click.option(
        "--task",
        default="auto",
        type=click.Choice(["auto", "single-label", "multi-label", "regression"]),
        help="What the labels are; default: one or several classes, as they are.",
    ),
    click.option(
        "--bad-files",
        default="error",
        type=click.Choice(["error", "skip"]),
        help="What to do about inputs that cannot be read; default: error.",
    ),
    click.option(
        "--quoting",
        type=click.Choice(["auto", "double", "backslash", "none"]),
        help="How CSV and TSV tables quote texts; default: found out.",
    ),
)


def labelled_data(command: Command) -> Command:
    """Give ``command`` the options that say how the data are read, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
