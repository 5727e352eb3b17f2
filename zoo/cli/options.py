"""Options and arguments that several commands have, each declared once.

:func:`run_argument`, :func:`device_option` and :func:`json_option` are public: commands of plugins
use them too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo.cli import completion
from zoo.cli.hyperparameters import shared

Command = TypeVar("Command", bound=Callable[..., Any])


def run_argument(command: Command) -> Command:
    """Give ``command`` the argument RUN, a run folder: ``run``, a ``Path``."""
    return click.argument("run", type=click.Path(path_type=Path), shell_complete=completion.runs)(
        command
    )


def device_option(command: Command) -> Command:
    """Give ``command`` the option ``--device``: ``device``, ``auto`` by default."""
    return shared(device=None)(command)


def json_option(prints: str) -> Callable[[Command], Command]:
    """Give a command the flag ``--json``: ``as_json``.

    While it is given, standard output is kept for :func:`zoo.emit_json`; whatever else is printed
    goes to standard error.

    Args:
        prints: Its help, such as "Print one JSON document."
    """
    return click.option("--json", "as_json", is_flag=True, help=prints)
