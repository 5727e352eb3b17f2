"""What predictions of all tasks have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.sequences import Pair

if TYPE_CHECKING:
    import pyarrow as pa

Shown: TypeAlias = str | Pair
"""The path of an image, a text, or two texts."""


class AnyPrediction(Protocol):
    """The prediction for one input, with the user's class names."""

    @property
    def input(self) -> Shown:
        """The path of the image, or the text, or the pair of texts."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""


@dataclass(frozen=True)
class NoPrediction:
    """Takes the place of a prediction for an unreadable input.

    Attributes:
        input: Its name: a path, or the row of a table.
        error: Why it cannot be read.
    """

    input: Shown
    error: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return {"input": listed(self.input), "error": self.error}


def listed(given: Shown) -> str | list[str]:
    """An input as JSON data."""
    return list(given) if isinstance(given, tuple) else given


def unread_json(names: Sequence[str]) -> dict[str, list[str]]:
    """The unread parts of an input as JSON data; empty if there are none."""
    return {"unread": list(names)} if names else {}


def refusal_json(rejected: bool | None, ood: float | None) -> dict[str, Any]:
    """The refusal as JSON data; empty if it was not asked for."""
    return {} if rejected is None else {"rejected": rejected, "ood": ood}


def by_probability(
    outputs: NDArray[np.float64], classes: Sequence[str]
) -> list[Mapping[str, float]]:
    """The classes of each sample with their probabilities, the likeliest first."""
    return [
        dict(sorted(zip(classes, row, strict=True), key=lambda pair: -pair[1]))
        for row in outputs.tolist()
    ]


def rows_in(table: pa.Table, column: str, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """A column of number lists as ``(rows, numbers)``, without Python objects."""
    import pyarrow.compute as pc

    lists = table[column]
    widths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(widths) > 1 or None in widths:
        raise ValueError(f"rows of different lengths in {column!r}")
    numbers = pc.list_flatten(lists)
    if numbers.null_count:
        raise ValueError(f"missing values in {column!r}")
    # A copy, because Arrow's buffers are read-only and PyTorch needs writable ones.
    return np.array(numbers.to_numpy(), dtype=dtype).reshape(len(lists), *widths)
