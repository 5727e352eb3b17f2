"""Commands that plugins add to ``zoo``. No torch, no click."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.errors import ContractError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TARGET = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A command of ``zoo`` that a plugin adds.

    It is stored in the index, so that ``zoo --help`` lists the command without importing it.

    Attributes:
        name: The word after ``zoo``: lowercase letters, digits and hyphens.
        target: ``module:attribute`` of the ``click.Command``, imported when it is run.
        help: One line for the list of commands in ``zoo --help``.

    Raises:
        ContractError: A value is not valid.
    """

    name: str
    target: str
    help: str

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise ContractError(
                f"the command name {self.name!r} is not valid",
                hint="It must consist of lowercase letters, digits and hyphens, as in 'my-command'.",
            )
        if not (isinstance(self.target, str) and _TARGET.fullmatch(self.target)):
            raise ContractError(
                f"the target {self.target!r} of the command {self.name!r} is not valid",
                hint="It must be 'module:attribute', as in 'acme_zoo.cli:command'.",
            )
        if not (isinstance(self.help, str) and self.help.strip() and self.help.isprintable()):
            raise ContractError(
                f"the help of the command {self.name!r} must be one line of text, "
                f"got {self.help!r}",
                hint="It is shown beside the command in 'zoo --help'.",
            )
