"""Stages: the ordered, freezable groups of a backbone's modules. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zoo.errors import ContractError, StageError, did_you_mean


@dataclass(frozen=True)
class Stage:
    """An ordered, freezable group of backbone modules.

    Attributes:
        name: The name, as in ``--freeze-until layer2``.
        paths: Paths of the modules or parameters that belong to it. If a parameter is under paths
            of two stages, the longer path decides.
    """

    name: str
    paths: tuple[str, ...]


class Stages:
    """The stages of one backbone, input first.

    Args:
        backbone: The backbone's name, for errors.
        stages: Ordered, input first.
    """

    def __init__(self, backbone: str, stages: Sequence[Stage]) -> None:
        self.names = [stage.name for stage in stages]
        self._backbone = backbone
        self._stages = tuple(stages)
        self._owners = {path: stage.name for stage in stages for path in stage.paths}

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def of(self, path: str) -> str | None:
        """The stage that a module or parameter belongs to: the longest path at or above it."""
        while path not in self._owners and path:
            path = path.rpartition(".")[0]
        return self._owners.get(path)

    def index(self, name: str) -> int:
        """The position of ``name`` in the order.

        Raises:
            StageError: There is no such stage.
        """
        if name not in self.names:
            raise self.unknown(name)
        return self.names.index(name)

    def upto(self, name: str) -> list[str]:
        """The stages from the input up to and including ``name``."""
        return self.names[: self.index(name) + 1]

    def downto(self, name: str) -> list[str]:
        """The stages from ``name`` to the last."""
        return self.names[self.index(name) :]

    def unknown(self, name: str) -> StageError:
        """The error for a stage or layer that does not exist."""
        guess = did_you_mean(name, self.names)
        return StageError(
            f"{self._backbone} has no stage called {name!r}.{guess}",
            hint=f"Its stages, input first: {', '.join(self.names)}.",
        )

    def check(self, parameters: Iterable[str]) -> None:
        """Check that every parameter is in one stage, and that no stage is empty.

        Raises:
            ContractError: The check failed; the message names the parameters or the stages.
        """
        if len(set(self.names)) != len(self.names):
            raise ContractError(f"{self._backbone}: two stages have the same name: {self.names}")
        owners = {path: self.of(path) for path in parameters}
        if unassigned := [path for path, owner in owners.items() if owner is None]:
            raise ContractError(
                f"{self._backbone}: {len(unassigned)} parameters are in no stage: {', '.join(unassigned[:5])}"
            )
        held = set(owners.values())
        if empty := [name for name in self.names if name not in held]:
            raise ContractError(f"{self._backbone}: stages without parameters: {', '.join(empty)}")


def lies_under(path: str, prefix: str) -> bool:
    """Whether ``path`` is ``prefix`` or inside it; everything is inside the empty prefix."""
    return prefix == "" or path == prefix or path.startswith(f"{prefix}.")
