"""Leakage: samples that training shares with validation or test, which inflate every metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.examined import Flags
from zoo.data.samples import Samples
from zoo.errors import DataError

Contents: TypeAlias = NDArray[np.uint64]
"""``(N,)``, a number for each input, equal for duplicates."""

MAX_PAIRS = 2 * 10**11
"""The most pairs compared for near-duplicates: a million samples, a fifth of them held out, are
1.6e11."""


@dataclass(frozen=True)
class Overlap:
    """Duplicates between training and held-out splits.

    Attributes:
        shared: Names of held-out inputs that are in training too.
        near: Names of other held-out inputs with a near-duplicate in training; ``None`` if there
            are too many to compare.
        in_train: ``(N,)``, which training samples are duplicates or near-duplicates, or of a group
            that is held out.
        groups: Names of the groups in both.
    """

    shared: tuple[str, ...]
    near: tuple[str, ...] | None
    in_train: Flags
    groups: tuple[str, ...] = ()


def overlap(train: Samples, held_out: Sequence[Samples]) -> Overlap:
    """Find the duplicates and the groups that ``train`` shares with the held-out splits."""
    shared: list[str] = []
    groups: set[str] = set()
    near: list[str] | None = [] if _few_enough(train, held_out) else None
    in_train = np.zeros(len(train), dtype=bool)
    for held in held_out:
        same, of_train = _same(train, held)
        shared += [held.input(int(i)) for i in np.flatnonzero(same)]
        in_train |= of_train
        if near is not None and train.hashes is not None and held.hashes is not None:
            of_train, like = train.kind.near_duplicates(train.hashes, held.hashes)
            near += [held.input(int(i)) for i in np.flatnonzero(like & ~same)]
            in_train |= of_train
        if train.groups is not None and held.groups is not None:
            groups |= set(np.intersect1d(train.groups, held.groups).tolist())
            in_train |= np.isin(train.groups, held.groups)
    kept = None if near is None else tuple(near)
    return Overlap(tuple(shared), kept, in_train, tuple(sorted(groups)))


def _same(train: Samples, held: Samples) -> tuple[Flags, Flags]:
    """Which of ``held`` have a duplicate in ``train``, and vice versa."""
    if train.contents is None or held.contents is None:
        return np.zeros(len(held), dtype=bool), np.zeros(len(train), dtype=bool)
    return np.isin(held.contents, train.contents), np.isin(train.contents, held.contents)


def _few_enough(train: Samples, held_out: Sequence[Samples]) -> bool:
    return train.hashes is None or len(train) * sum(len(held) for held in held_out) <= MAX_PAIRS


def drop_leaked(train: Samples, found: Overlap, classes: Sequence[str]) -> Samples:
    """``train`` without duplicates of held-out samples.

    Raises:
        DataError: No sample is left, or none of a class.
    """
    kept = train.select(np.flatnonzero(~found.in_train))
    assert train.labels is not None
    assert kept.labels is not None
    lost = "" if len(kept) else "training sample"
    if train.labels.ndim == 1 and not lost:
        gone = np.setdiff1d(train.labels, kept.labels)
        lost = f"training sample of class {classes[int(gone[0])]!r}" if len(gone) else ""
    if lost:
        raise DataError(
            f"no {lost} is left after dropping those that are also held out",
            hint="Remove --dedupe, or separate the splits by hand.",
        )
    return kept
