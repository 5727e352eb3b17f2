"""Contract checks that a plugin's backbones are known to fail. No torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from zoo.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """A check that some backbones of a plugin are known to fail.

    Exemptions are strict: a backbone that passes an exempted check fails the suite, so that
    exemptions are removed when they are no longer needed.

    Attributes:
        check: The check's name, as ``zoo check`` prints it.
        reason: Why it fails; shown wherever the exemption applies.
        backbones: Names within the plugin's namespace, or globs over them.
    """

    check: str
    reason: str
    backbones: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ContractError(f"the exemption from {self.check!r} gives no reason")
        if isinstance(self.backbones, str):
            raise ContractError(f"the exemption from {self.check!r} needs a tuple of backbones")

    def covers(self, arch: str) -> bool:
        """Whether it is about the backbone ``arch``, a name within the plugin's namespace."""
        return any(fnmatch.fnmatchcase(arch, pattern) for pattern in self.backbones)


def reason_for(exemptions: Iterable[Exemption], check: str, arch: str) -> str:
    """Why ``arch`` is exempted from ``check``; the empty string if it is not."""
    return next((e.reason for e in exemptions if e.check == check and e.covers(arch)), "")
