"""Leakage: samples that training shares with validation or test, which inflate every metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.examined import Flags
from zoo.data.matches import LeakedPair, Matches, equal_matches
from zoo.data.samples import Samples
from zoo.data.sequences import Indices
from zoo.errors import DataError

Contents: TypeAlias = NDArray[np.uint64]
"""``(N,)``, a number for each input, equal for duplicates."""


@dataclass(frozen=True)
class Overlap:
    """Duplicates between training and held-out splits.

    Attributes:
        shared: Held-out inputs that are in training too.
        near: Other held-out inputs with a near-duplicate in training; ``None`` if there are too
            many to compare.
        in_train: ``(N,)``, which training samples are duplicates or near-duplicates, or of a group
            that is held out.
        groups: Names of the groups in both.
    """

    shared: tuple[LeakedPair, ...]
    near: tuple[LeakedPair, ...] | None
    in_train: Flags
    groups: tuple[str, ...] = ()


def overlap(train: Samples, held_out: Sequence[Samples]) -> Overlap:
    """Find the duplicates and the groups that ``train`` shares with the held-out splits."""
    shared: list[LeakedPair] = []
    groups: set[str] = set()
    near: list[LeakedPair] | None = []
    in_train = np.zeros(len(train), dtype=np.bool_)
    for held in held_out:
        same = _same(train, held)
        shared += _pairs(train, held, same.of_held)
        in_train |= same.in_train
        alike = _near(train, held)
        if alike is None:
            near = None
        else:
            in_train |= alike.in_train
            if near is not None:
                near += _pairs(train, held, np.where(same.in_held, -1, alike.of_held))
        if train.groups is not None and held.groups is not None:
            groups |= set(np.intersect1d(train.groups, held.groups).tolist())
            in_train |= np.isin(train.groups, held.groups)
    kept = None if near is None else tuple(near)
    return Overlap(tuple(shared), kept, in_train, tuple(sorted(groups)))


def _same(train: Samples, held: Samples) -> Matches:
    if train.contents is None or held.contents is None:
        return Matches.none(len(train), len(held))
    return equal_matches(train.contents, held.contents)


def _near(train: Samples, held: Samples) -> Matches | None:
    if train.hashes is None or held.hashes is None:
        return Matches.none(len(train), len(held))
    return train.kind.near_matches(train.hashes, held.hashes)


def _pairs(train: Samples, held: Samples, of_held: Indices) -> list[LeakedPair]:
    return [
        LeakedPair(
            held.input(int(i)),
            train.input(int(of_held[i])),
            None
            if train.labels is None or held.labels is None
            else bool(np.array_equal(train.labels[of_held[i]], held.labels[i])),
        )
        for i in np.flatnonzero(of_held >= 0)
    ]


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
