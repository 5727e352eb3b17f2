"""Options and arguments that several commands have, each declared once.

Those that ``zoo finetune`` has too come from the table of hyperparameters, by
:func:`zoo.cli.hyperparameters.shared`, which is imported where it is used: ``zoo list`` starts faster
without it. ``--json`` is in :mod:`zoo.cli.output`. :func:`run_argument` and :func:`device_option` are
public: commands of plugins use them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo.cli import completion
from zoo.cli.counts import parameter_count
from zoo.system.durations import EXAMPLES, seconds_of

Command = TypeVar("Command", bound=Callable[..., Any])


def run_argument(command: Command) -> Command:
    """Give ``command`` the argument RUN, a run folder: ``run``, a ``Path``."""
    return click.argument("run", type=click.Path(path_type=Path), shell_complete=completion.runs)(
        command
    )


def network_option(command: Command) -> Command:
    """Give ``command`` the option ``--network``: ``network``, the code of the user's own network."""
    return click.option(
        "--network",
        metavar="FILE.py:NAME",
        help="Function that builds the run's network; needed if its code has changed or is "
        "unknown on this machine.",
    )(command)


def networks_option(command: Command) -> Command:
    """The same for a command that opens several runs: ``networks``, for :func:`zoo.open_runs`."""
    return click.option(
        "--network",
        "networks",
        multiple=True,
        metavar="FILE.py:NAME",
        help="Builds the own network of runs; may be repeated for several networks.",
    )(command)


def runs_argument(command: Command) -> Command:
    """Give ``command`` the argument RUN..., one run folder or more: ``runs``, ``Path`` objects."""
    return click.argument(
        "runs",
        metavar="RUN...",
        type=click.Path(path_type=Path),
        nargs=-1,
        required=True,
        shell_complete=completion.runs,
    )(command)


def device_option(command: Command) -> Command:
    """Give ``command`` the option ``--device``: ``device``, ``auto`` by default."""
    from zoo.cli.hyperparameters import shared

    return shared(device=None)(command)


tta_option = click.option(
    "--tta",
    is_flag=True,
    help="Test-time augmentation: the mean over views of each input; several times slower.",
)


def output_option(
    metavar: str, writes: str, *, required: bool = False, dir_okay: bool = True
) -> Callable[[Command], Command]:
    """Give a command the option ``--output``: ``output``, a ``Path``.

    Args:
        metavar: Name of the value, such as ``DIR``.
        writes: Help text.
        required: Whether it must be given.
        dir_okay: Whether it may name an existing folder.
    """
    kind = click.Path(path_type=Path, dir_okay=dir_okay)
    return click.option("--output", type=kind, required=required, metavar=metavar, help=writes)


def data_option(help_text: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Give a command the option ``--data``: ``data``, a path or ``hf:NAME``.

    Args:
        help_text: What the data is for.
        required: Whether it must be given.
    """
    return click.option(
        "--data",
        required=required,
        metavar="PATH",
        shell_complete=completion.paths,
        help=help_text,
    )


def evaluated_on(default: str) -> Callable[[Command], Command]:
    """Give a command ``--data`` and ``--split``, which choose the samples to evaluate on.

    Args:
        default: The samples without ``--data``, in words.
    """

    def declare(command: Command) -> Command:
        split = click.option(
            "--split", metavar="val|test", help="Split of --data (default: test, else val)."
        )
        data = data_option(f"Labelled data to evaluate on (default: {default}).")
        return data(split(command))

    return declare


class ModalityName(click.Choice[str]):
    """A choice of the modalities of zoo and of plugins, which are looked up when asked for."""

    def __init__(self) -> None:
        self.case_sensitive = True

    @property
    def choices(self) -> Sequence[str]:  # type: ignore[override]
        """The names."""
        from zoo.registry.modalities import installed_modalities

        return tuple(installed_modalities())


def modality_option(help_text: str) -> Callable[[Command], Command]:
    """Give a command the option ``--modality``: ``modality``, a name."""
    return click.option(
        "--modality",
        type=ModalityName(),
        help=help_text,
    )


def max_params_option(
    help_text: str = "Maximum number of parameters, e.g. 30M.", default: str | None = None
) -> Callable[[Command], Command]:
    """Give a command the option ``--max-params``: ``max_params``, a whole number."""
    return click.option(
        "--max-params",
        default=default,
        show_default=default is not None,
        metavar="NUMBER",
        callback=parameter_count,
        help=help_text,
    )


def duration(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    """A callback: from ``90``, ``90s``, ``5m`` or ``1h`` to seconds."""
    try:
        return seconds_of(value)
    except ValueError as error:
        message = f"{value!r} is not a valid time. Examples: {EXAMPLES}."
        raise click.BadParameter(message, ctx, parameter) from error


def labelled_data(command: Command) -> Command:
    """Give ``command`` the options for reading labelled data."""
    from zoo.cli.hyperparameters import shared

    declare = shared(
        text_column=None,
        label_column=None,
        task=None,
        bad_files="What to do with unreadable inputs (default: error).",
        quoting=None,
    )
    return declare(command)
