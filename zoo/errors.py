"""Every exception that the zoo raises for a reason the user can act on.

::

    ZooError
    ├── UsageError            an option or argument that cannot be
    ├── PolicyError           a registry.toml that cannot be read
    ├── NameLookupError       a name that leads to no backbone, plugin, head or strategy
    │   └── AmbiguousNameError    a bare name that several plugins publish
    ├── PluginError           a plugin that cannot be used
    ├── ContractError         a backbone that breaks the contract
    │   ├── HeadWidthError        a head of another width than ``feature_dim``
    │   └── StageError            a stage or layer that does not exist
    ├── WeightsError          weights that cannot be had, read or loaded
    │   └── WeightsUnavailable    weights that are neither here nor within reach
    ├── DataError             data that cannot be trained on
    │   ├── ClassesError          classes that do not fit the request or each other
    │   └── BadFilesError         files that cannot be read
    ├── WorkersError          processes that prepare batches and cannot go on
    ├── RunError              a run folder that cannot be written or read
    └── Stopped               a run stopped by a signal, which can be resumed

A message says what was given and what was expected; ``hint`` says what to type next. The
command line prints the two in two lines, without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """The base of every error that is told to the user rather than shown as a traceback.

    Args:
        message: What was given, and what was expected.
        hint: What to do or type next; the empty string where there is nothing to add.

    Attributes:
        in_shell: Message and hint with the options of the command line, once a public function
            has put the names of Python's parameters into ``message`` and ``hint``.
    """

    in_shell: tuple[str, str] | None = None

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(ZooError):
    """An option or argument that cannot be."""


class PolicyError(ZooError):
    """A ``registry.toml`` that cannot be read; names the file and the line."""


class NameLookupError(ZooError):
    """A name that leads to no backbone, plugin, head or strategy."""


class AmbiguousNameError(NameLookupError):
    """A bare name that several plugins publish, and for which no order decides."""


class PluginError(ZooError):
    """A plugin that cannot be used."""


class ContractError(ZooError):
    """A backbone that breaks the contract of :class:`zoo.Backbone`."""


class HeadWidthError(ContractError):
    """A head that expects another width than the backbone's ``feature_dim``."""


class StageError(ContractError):
    """A stage or layer that does not exist; the message names those that do."""


class WeightsError(ZooError):
    """Weights that cannot be had, read or loaded."""


class WeightsUnavailable(WeightsError):
    """Weights that are neither on this machine nor within reach."""


class DataError(ZooError):
    """Data that cannot be trained on."""


class ClassesError(DataError):
    """Classes that do not fit the request, or the other splits."""


class BadFilesError(DataError):
    """Files that cannot be read; ``paths`` lists them."""

    def __init__(self, message: str, *, paths: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class WorkersError(ZooError):
    """A process that prepares batches has ended, or cannot send what it has made."""


class RunError(ZooError):
    """A run folder that cannot be written or read."""


class Stopped(ZooError):
    """A run stopped by a signal, which can be resumed; ``signal`` is its number."""

    def __init__(self, message: str, *, hint: str = "", signal: int = 2) -> None:
        super().__init__(message, hint=hint)
        self.signal = signal


def closest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The ``count`` names nearest to ``name``, letter case aside, best first."""
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=0.5)
    return [folded[match] for match in near]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question, to go behind a message, that offers what is nearest to ``name`` if anything is."""
    near = closest(name, names, 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def first_line(error: BaseException, *, kind: bool = False) -> str:
    """The first line of an error's text; the name of its class where it has none.

    Args:
        error: Of a library, whose text may be long.
        kind: Put the name of its class before it: ``ValueError: it is too large``.
    """
    name = type(error).__name__
    lines = str(error).strip().splitlines()
    if not lines:
        return name
    return f"{name}: {lines[0]}" if kind else lines[0]
