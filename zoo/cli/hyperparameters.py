"""Options made from the table of hyperparameters: all of ``zoo finetune``, some of other commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from zoo.cli import completion
from zoo.cli.sections import SectionedOption
from zoo.engine.hyperparameters import Hyperparameter
from zoo.runs.request import OPTIONS

Command = TypeVar("Command", bound=Callable[..., Any])

_COMPLETES: Mapping[str, completion.Complete] = {
    "data": completion.paths,
    "strategy": completion.strategies,
    "weights": completion.tags,
    "head": completion.heads,
    "freeze_until": completion.stages,
    "freeze": completion.layers,
    "unfreeze": completion.layers,
    "metric": completion.metrics,
    "task": completion.tasks,
    "loss": completion.losses,
    "optimizer": completion.optimizers,
    "augment": completion.augmentations,
}
"""Completions of values that are names; click completes closed choices."""


class _NumberOrWord(click.ParamType[Any]):
    name = "number"

    def __init__(self, number: click.ParamType[Any], words: tuple[str, ...]) -> None:
        self._number, self._words = number, words

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value in self._words else self._number.convert(value, param, ctx)


def hyperparameters(command: Command) -> Command:
    """Give ``command`` an option for each row of the table, without a default: only typed options
    reach the request."""
    for row in reversed([*OPTIONS.values()]):
        declared = click.option(
            *_names(row),
            cls=SectionedOption,
            section=row.section,
            help=row.help,
            default=None,
            **_type_of(row),
        )
        command = declared(command)
    return command


def shared(**names: str | None) -> Callable[[Command], Command]:
    """Options that a command shares with ``zoo finetune``, in the order of their names.

    Args:
        names: The help of each, or ``None`` for that of the table.
    """

    def declare(command: Command) -> Command:
        for name, help_text in reversed(names.items()):
            row = OPTIONS[name]
            declared = click.option(
                *_names(row), help=help_text or row.help, default=row.default, **_type_of(row)
            )
            command = declared(command)
        return command

    return declare


def _names(row: Hyperparameter) -> tuple[str, ...]:
    switch = row.kind is bool and row.default is None
    return (f"{row.typed}/--no-{row.flag}" if switch else row.typed, row.name)


def _type_of(row: Hyperparameter) -> dict[str, Any]:
    """Type, metavar and completion of the value."""
    if row.kind is bool:
        return {"is_flag": True}
    if row.choices and row.metavar is None:
        return {"type": click.Choice(row.choices)}
    number: click.ParamType[Any] = click.types.convert_type(row.kind)
    facts: dict[str, Any] = {
        "type": _NumberOrWord(number, row.words) if row.words else number,
        "metavar": row.metavar,
        "nargs": row.count,
        "multiple": row.several,
    }
    if row.several and row.default is None:
        facts["callback"] = _one_or_more
    if row.choices:
        facts["shell_complete"] = completion.one_of(*row.choices)
    elif row.name in _COMPLETES:
        facts["shell_complete"] = _COMPLETES[row.name]
    return facts


def _one_or_more(
    _: click.Context, __: click.Parameter, names: tuple[str, ...]
) -> str | tuple[str, ...] | None:
    """``None``, one name, or several, for an option that may be repeated."""
    return (names[0] if len(names) == 1 else names) or None
