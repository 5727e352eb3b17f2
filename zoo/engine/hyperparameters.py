"""The table of hyperparameters: how a field says what it may be, and what is made from that.

A field of :class:`zoo.engine.recipe.Recipe` or :class:`zoo.runs.request.Request` is declared with
:func:`option`. The keywords of :func:`zoo.finetune`, the options of ``zoo finetune`` and their
help, the checks, ``run.json`` and the documentation's table are all made from these rows. No torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal

from zoo.errors import UsageError, did_you_mean

SECTIONS = (
    *("Common options", "Data", "Model", "Optimisation", "Regularisation", "Class imbalance"),
    "Run and hardware",
)
"""Headings of the help, in their order."""

Use = Literal[
    "all",
    "strategy",
    "backbone",
    "lower stages",
    "layer decay",
    "lora",
    "steps",
    "head",
    "head steps",
    "augmentation",
    "cached views",
]
"""Which phases of training use a hyperparameter; :mod:`zoo.engine.settings` tells for a phase."""

NOTHING: tuple[Any, ...] = (None, False, 0, "none", ())
"""Values that switch something off."""

_ROW = "hyperparameter"
_KINDS: Mapping[str, type] = {"int": int, "float": float, "bool": bool}
_NUMBERS: Mapping[type, tuple[type[Any], str]] = {
    int: (Integral, "an integer"),
    float: (Real, "a number"),
}


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        help: What it does, with its unit and default; one sentence.
        section: Heading of the help; empty for what is not asked for but derived.
        metavar: Stands for the value in the help.
        name: Of the field, and of the keyword in Python.
        default: Value where nothing is asked for.
        kind: ``int``, ``float``, ``bool`` or ``str``.
        flag: Name on the command line, without dashes; the field's unless it is given.
        choices: What it may be.
        at_least: Least value.
        above: Every value is greater.
        below: Every value is less.
        words: May stand for a number, such as ``auto``.
        several: Whether the option may be repeated.
        count: Values that one option takes.
        holds: Says whether a value is valid where the above does not.
        expected: What ``holds`` wants, after "must be".
        use: Which phases of training use it.
        head_field: The field that takes its place where the head alone trains.
        steps: Whether asking for it has the head trained in steps: ``always``, or where the
            head's is the ``last`` phase.
        header: Whether the header names it where it is not the default.
        own_data: Whether it means nothing for the demo data.
        also: What other libraries call it, for suggestions.
    """

    help: str
    section: str = ""
    metavar: str | None = None
    name: str = ""
    default: Any = None
    kind: type = str
    flag: str = ""
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    words: tuple[str, ...] = ()
    several: bool = False
    count: int = 1
    holds: Callable[[Any], bool] | None = None
    expected: str = ""
    use: Use = "all"
    head_field: str = ""
    steps: Literal["", "always", "last"] = ""
    header: bool = False
    own_data: bool = False
    also: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        """The option as it is typed in a shell."""
        return f"--{self.flag}"

    def asks(self, value: Any) -> bool:
        """Whether ``value`` asks for something; to ask for nothing of what is not done is harmless."""
        return value not in NOTHING or value != self.default

    def check(self, value: Any) -> None:
        """Raise a :class:`UsageError` for a value that it must not have."""
        if value is None or value in self.words or self._holds(value):
            return
        guess = did_you_mean(value, self.choices) if isinstance(value, str) else ""
        given = " ".join(map(_shown, value)) if isinstance(value, tuple) else _shown(value)
        raise UsageError(
            f"{self.typed} must be {self.range}, got {given}.{guess}".removesuffix("."),
            hint=f"{self.typed}: {self.help}",
        )

    @property
    def range(self) -> str:
        """What it may be, after the words "must be"."""
        if self.expected or self.choices:
            return self.expected or f"one of {', '.join(self.choices)}"
        if self.below is not None:
            bracket = "(" if self.at_least is None else "["
            least = self.above if self.at_least is None else self.at_least
            return f"in {bracket}{least:g}, {self.below:g})"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        if self.above is not None:
            return f"greater than {self.above:g}"
        return _NUMBERS[self.kind][1] if self.kind in _NUMBERS else "true or false"

    def _holds(self, value: Any) -> bool:
        if self.holds is not None:
            return self.holds(value)
        if self.choices:
            return value in self.choices
        if self.kind is bool:
            return isinstance(value, bool)
        if self.kind not in _NUMBERS:
            return True
        if isinstance(value, bool) or not isinstance(value, _NUMBERS[self.kind][0]):
            return False
        return self._inside(float(value))

    def _inside(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def option(help: str, **facts: Any) -> dict[str, Hyperparameter]:  # noqa: A002 - as click calls it
    """The metadata of a field that is a row of the table; ``facts`` as :class:`Hyperparameter`."""
    return {_ROW: Hyperparameter(help=help, **facts)}


def rows(*tables: type) -> dict[str, Hyperparameter]:
    """The hyperparameters of dataclasses, by name, in the order of their fields."""
    return {row.name: row for table in tables for row in _rows(table)}


@functools.cache
def _rows(table: type) -> tuple[Hyperparameter, ...]:
    found = []
    for field in dataclasses.fields(table):
        if _ROW not in field.metadata:
            continue
        row: Hyperparameter = field.metadata[_ROW]
        kind = row.kind
        if kind is str:
            kind = _KINDS.get(re.split(r"\W", str(field.type))[0], str)
        default = None if field.default is dataclasses.MISSING else field.default
        flag = row.flag or field.name.replace("_", "-")
        found.append(replace(row, name=field.name, default=default, kind=kind, flag=flag))
    return tuple(found)


def check(table: type, values: Mapping[str, Any]) -> None:
    """Check values by their names in ``table``.

    Raises:
        UsageError: One must not be what it is.
    """
    known = rows(table)
    for name, value in values.items():
        if name in known:
            known[name].check(value)


def nearest(name: str, known: Mapping[str, Hyperparameter]) -> list[Hyperparameter]:
    """The rows that ``name`` may stand for, by their names here, in a shell and elsewhere."""
    called = {alias: row for row in known.values() for alias in (*row.also, row.flag, row.name)}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), called, cutoff=0.7)
    return [*{called[alias].name: called[alias] for alias in close}.values()]


def refuse_unknown(names: Iterable[str], known: Mapping[str, Hyperparameter]) -> None:
    """Raise a :class:`UsageError` for a name that no row has, with the closest that one has."""
    for name in names:
        if name in known:
            continue
        close = ", ".join(row.name for row in nearest(name, known))
        raise UsageError(
            f"unknown option {name!r}" + (f". Closest: {close}" if close else ""),
            hint="zoo.FinetuneOptions lists the options.",
        )


_COMMAND = r"zoo [a-z-]+[^'\n]*"
_OPTION = re.compile(
    rf"({_COMMAND})|(?<![\w-])--([a-z][a-z0-9-]*)(?: ([A-Z]+|-?[\d.]*\d|[a-z][\w-]*\b))?"
)


def in_python(text: str, known: Mapping[str, Hyperparameter]) -> str:
    """``text`` with options as Python spells them; commands that it quotes stay as they are."""
    by_flag = {row.flag: row for row in known.values()}

    def spelled(match: re.Match[str]) -> str:
        command, flag, value = match.groups()
        if command:
            return str(command)
        row = by_flag.get(flag)
        name = row.name if row else flag.replace("-", "_")
        if value is None:
            return name
        if row and value in (*row.choices, *row.words):
            return f'{name}="{value}"'
        return f"{name} {value}" if value.islower() else f"{name}={value}"

    return _OPTION.sub(spelled, text)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool) else repr(value)
