"""The table of hyperparameters: what a field declares, and what is generated from it.

A field of :class:`zoo.engine.recipe.Recipe` or :class:`zoo.runs.request.Request` is declared with
:func:`option`. The keywords of :func:`zoo.finetune`, the options of ``zoo finetune`` and their
help, the checks, ``run.json`` and the documentation's table are generated from these rows. No torch.
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
"""Headings of the help, in order."""

Use = Literal[
    "all",
    "strategy",
    "backbone",
    "lower stages",
    "layer decay",
    "adapter rank",
    "adapter dropout",
    "steps",
    "all steps",
    "private",
    "head",
    "head steps",
    "augmentation",
    "cached views",
]
"""Which phases use a hyperparameter; :mod:`zoo.engine.settings` decides it for a phase."""

NOTHING: tuple[Any, ...] = (None, False, 0, "none", ())
"""Values that switch an option off."""

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
        help: What it does, with unit and default; one sentence.
        section: Heading of the help; empty for a field that is not an option.
        metavar: Name of the value in the help.
        name: Name of the field, and of the keyword in Python.
        default: Default value.
        kind: ``int``, ``float``, ``bool`` or ``str``.
        flag: Name on the command line, without dashes; default: that of the field.
        choices: Valid values.
        at_least: Minimum.
        above: Exclusive lower bound.
        below: Exclusive upper bound.
        words: Words valid instead of a number, such as ``auto``.
        several: Whether the option may be repeated.
        count: Number of values of one option.
        holds: Checks a value, where the above is not enough.
        expected: What ``holds`` expects, to follow "must be".
        use: Which phases of training use it.
        head_field: The field that replaces it where only the head trains.
        steps: Whether setting it makes AdamW train the head: ``always``, or if the head trains in
            the ``last`` phase.
        header: Whether the header shows it if it is not the default.
        own_data: Whether it does not apply to the demo data.
        also: Names in other libraries, for suggestions.
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
        """The option on the command line, with dashes."""
        return f"--{self.flag}"

    def is_set(self, value: Any) -> bool:
        """Whether ``value`` has an effect: switching off what is off by default has none."""
        return value not in NOTHING or value != self.default

    def check(self, value: Any) -> None:
        """Raise a :class:`UsageError` for a value that is not valid."""
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
        """The valid values, to follow "must be"."""
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


def option(help: str, *, default: Any = dataclasses.MISSING, **facts: Any) -> Any:  # noqa: A002 - as click calls it
    """A dataclass field in the table; ``facts`` as in :class:`Hyperparameter`.

    A field without ``default`` is required.
    """
    return dataclasses.field(default=default, metadata={_ROW: Hyperparameter(help=help, **facts)})


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
        UsageError: A value is not valid.
    """
    known = rows(table)
    for name, value in values.items():
        if name in known:
            known[name].check(value)


def nearest(name: str, known: Mapping[str, Hyperparameter]) -> list[Hyperparameter]:
    """The rows with names, flags or aliases closest to ``name``."""
    aliases = {alias: row for row in known.values() for alias in (*row.also, row.flag, row.name)}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), aliases, cutoff=0.7)
    return [*{aliases[alias].name: aliases[alias] for alias in close}.values()]


def refuse_unknown(names: Iterable[str], known: Mapping[str, Hyperparameter]) -> None:
    """Raise a :class:`UsageError` for an unknown name, with the closest known ones."""
    for name in names:
        if name in known:
            continue
        close = ", ".join(row.name for row in nearest(name, known))
        raise UsageError(
            f"unknown option {name!r}" + (f". Closest: {close}" if close else ""),
            hint="zoo.FinetuneOptions lists the options.",
        )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool) else repr(value)
