"""Where the group of a sample is found, such as the patient that an image is of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from zoo.errors import UsageError

COLUMN = "group"
"""The default column of groups in ``--group-table``."""


@dataclass(frozen=True)
class GroupSource:
    """Where the group of a sample is found; nowhere by default.

    Attributes:
        column: Column of the data's table, or of ``table``.
        pattern: Regular expression for a file's path below the data's folder; its first pair of
            parentheses is the group.
        table: Table of file paths and groups, for data in folders.
    """

    column: str | None = None
    pattern: str | None = None
    table: str | None = None

    def __bool__(self) -> bool:
        return any((self.column, self.pattern, self.table))

    @property
    def typed(self) -> str:
        """The option that names it."""
        if self.table:
            return "--group-table"
        return "--group-pattern" if self.pattern else "--group-column"

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled.

        Raises:
            UsageError: It is not valid, or has no parentheses.
        """
        try:
            found = re.compile(self.pattern or "")
        except re.error as error:
            raise UsageError(
                f"--group-pattern '{self.pattern}' is not a valid regular expression: {error}",
                hint="For example: --group-pattern 'patient_([0-9]+)'",
            ) from error
        if not found.groups:
            raise UsageError(
                f"--group-pattern '{self.pattern}' has no parentheses around the group",
                hint="For example: --group-pattern 'patient_([0-9]+)'",
            )
        return found

    def check(self) -> None:
        """Raise a :class:`UsageError` if options exclude each other or are not valid."""
        if self.pattern and (self.column or self.table):
            other = "--group-column" if self.column else "--group-table"
            raise UsageError(
                f"--group-pattern does not work with {other}", hint="Use one of the two."
            )
        if self.pattern:
            self.regex  # noqa: B018 - raises


NO_GROUPS = GroupSource()
