"""Samples that training has in common with what it is measured on: they make every metric too good."""

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
"""``(N,)``, a number for the contents of each input, the same for the same."""

MAX_PAIRS = 2 * 10**11
"""More pairs are not compared for near-duplicates: a million samples, a fifth of them held out, are
1.6e11."""


@dataclass(frozen=True)
class Overlap:
    """What training has in common with validation and test.

    Attributes:
        shared: The held-out inputs whose contents are in training too, as reports call them.
        near: The other held-out inputs that are near-duplicates of one in training; ``None`` where there are
            too many to compare.
        in_train: ``(N,)``, which samples of training are shared or near.
    """

    shared: tuple[str, ...]
    near: tuple[str, ...] | None
    in_train: Flags


def overlap(train: Samples, held_out: Sequence[Samples]) -> Overlap:
    """What ``train`` has in common with samples that are held out."""
    shared: list[str] = []
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
    return Overlap(tuple(shared), None if near is None else tuple(near), in_train)


def _same(train: Samples, held: Samples) -> tuple[Flags, Flags]:
    """Which of ``held`` have contents that ``train`` has too, and the other way round."""
    if train.contents is None or held.contents is None:
        return np.zeros(len(held), dtype=bool), np.zeros(len(train), dtype=bool)
    return np.isin(held.contents, train.contents), np.isin(train.contents, held.contents)


def _few_enough(train: Samples, held_out: Sequence[Samples]) -> bool:
    return train.hashes is None or len(train) * sum(len(held) for held in held_out) <= MAX_PAIRS


def drop_leaked(train: Samples, found: Overlap, classes: Sequence[str]) -> Samples:
    """``train`` without what is held out too.

    Raises:
        DataError: Nothing is left of it, or of a class.
    """
    kept = train.select(np.flatnonzero(~found.in_train))
    assert train.labels is not None
    assert kept.labels is not None
    lost = not len(kept) and "anything"
    if train.labels.ndim == 1 and not lost:
        gone = np.setdiff1d(train.labels, kept.labels)
        lost = len(gone) > 0 and repr(classes[int(gone[0])])
    if lost:
        raise DataError(
            f"without what validation has too, nothing of {lost} is left to train on",
            hint="Leave --dedupe out, or separate the two by hand.",
        )
    return kept
