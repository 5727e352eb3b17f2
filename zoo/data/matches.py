"""Which samples of two splits, or of one, are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.examined import Flags, Hashes
from zoo.data.sequences import Indices


@dataclass(frozen=True)
class LeakedPair:
    """A held-out sample and the same, or nearly the same, in training.

    Attributes:
        held_out: The name of the held-out input.
        train: That of the one in training.
        same_label: Whether their labels are equal; ``None`` if the held-out one has none.
    """

    held_out: str
    train: str
    same_label: bool | None


@dataclass(frozen=True)
class Matches:
    """The samples of a held-out split that training has too.

    Attributes:
        in_train: ``(N,)``, which training samples have a match in the held-out split.
        of_held: ``(M,)``, for each held-out sample the index of a match in training, or -1.
    """

    in_train: Flags
    of_held: Indices

    @property
    def in_held(self) -> Flags:
        """``(M,)``, which held-out samples have a match in training."""
        return self.of_held >= 0

    @classmethod
    def none(cls, train: int, held: int) -> Matches:
        """No matches between so many samples."""
        return cls(np.zeros(train, dtype=np.bool_), np.full(held, -1, dtype=np.int64))


def equal_matches(train: NDArray[Any], held: NDArray[Any]) -> Matches:
    """Samples with equal values, ``(N,)`` and ``(M,)``; the first in training for each."""
    if not len(train):
        return Matches.none(0, len(held))
    values, first = np.unique(train, return_index=True)
    place = np.minimum(np.searchsorted(values, held), len(values) - 1)
    of_held = np.where(values[place] == held, first[place], -1)
    return Matches(np.isin(train, held), of_held.astype(np.int64))


def equal_hashes(train: Hashes, held: Hashes) -> Matches:
    """Samples with equal hashes, ``(N, words)``; 0 in the first word is a hash of nothing."""
    found = equal_matches(train[:, 0], held[:, 0])
    return Matches(
        found.in_train & (train[:, 0] != 0), np.where(held[:, 0] == 0, -1, found.of_held)
    )


def sets_of_equal_hashes(hashes: Hashes) -> Indices:
    """``(N,)``, equal numbers for equal hashes."""
    _, first, numbers = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
    return np.where(hashes[:, 0] == 0, np.arange(len(hashes)), first[numbers.reshape(-1)])


def sets_of(labels: Sequence[NDArray[Any]]) -> Indices:
    """``(N,)``, a number for each sample, equal for those that any of ``labels`` puts together.

    Args:
        labels: At least one array ``(N,)``; samples with the same value in it are together, and so
            are those connected by a chain of such samples.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(labels[0])
    found = [np.unique(each, return_inverse=True)[1].reshape(-1) for each in labels]
    ends = count + np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in found)])
    columns = np.concatenate([each + start for each, start in zip(found, ends[:-1], strict=True)])
    rows = np.tile(np.arange(count), len(found))
    graph = coo_array((np.ones(len(rows), dtype=np.bool_), (rows, columns)), (ends[-1],) * 2)
    _, numbers = connected_components(graph, directed=False)
    return np.asarray(numbers[:count], dtype=np.int64)
