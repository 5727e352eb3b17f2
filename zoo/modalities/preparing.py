"""Inputs prepared one at a time, as a server needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zoo.data.sequences import Raw

if TYPE_CHECKING:
    from torch import Tensor


class PreparedInput(NamedTuple):
    """One input as the network takes it.

    Attributes:
        raw: As it was given.
        name: How answers and errors name it.
        content: What :meth:`Preparer.batch` puts together.
        unread: What of it the network does not get to see, as in
            :class:`zoo.tasks.single_label.Prediction`.
    """

    raw: Raw
    name: str
    content: Any
    unread: tuple[str, ...] = ()


class Preparer(Protocol):
    """Prepares inputs of one run; may be used by many threads at once."""

    def prepare(self, raw: Raw, name: str) -> PreparedInput:
        """What :meth:`batch` takes of one input.

        Args:
            raw: The input.
            name: How errors call it.

        Raises:
            ZooError: It cannot be read, or is not what the run takes.
        """

    def batch(self, prepared: Sequence[PreparedInput]) -> dict[str, Tensor]:
        """A batch of several; at least one."""

    def example(self) -> Raw:
        """A made-up input."""
