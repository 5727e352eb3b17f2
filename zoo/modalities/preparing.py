"""Prepare single inputs, for a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zoo.data.sequences import Raw

if TYPE_CHECKING:
    from torch import Tensor


class PreparedInput(NamedTuple):
    """One prepared input.

    Attributes:
        raw: The input as it was given.
        name: Its name in responses and errors.
        content: The content for :meth:`Preparer.batch`.
        unread: Parts that the network does not see, as in
            :class:`zoo.tasks.single_label.Prediction`.
    """

    raw: Raw
    name: str
    content: Any
    unread: tuple[str, ...] = ()


class Preparer(Protocol):
    """Prepares inputs of one run; thread-safe."""

    def prepare(self, raw: Raw, name: str) -> PreparedInput:
        """Prepare one input for :meth:`batch`.

        Args:
            raw: The input.
            name: Its name in errors.

        Raises:
            ZooError: It cannot be read, or is not supported by the run.
        """

    def batch(self, prepared: Sequence[PreparedInput]) -> dict[str, Tensor]:
        """A batch of at least one input."""

    def example(self) -> Raw:
        """A made-up input."""
