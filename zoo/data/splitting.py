"""What is trained on and what validates, where the data bring no split for it."""

from __future__ import annotations

import numpy as np

from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices
from zoo.errors import DataError

VAL_SPLIT = 0.2
"""The share that validates where nobody has said how much."""


def stratified_split(labels: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Indices for training and for validation, each in ascending order.

    Of every class about ``share`` goes to validation, and at least one sample to each side; a
    class with a single sample is trained on and not validated.

    Raises:
        DataError: ``share`` does not lie between 0 and 1.
    """
    check_share(share)
    generator = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        held_out.append(members[:count])
    return _sides(len(labels), np.concatenate(held_out))


def random_split(
    labels: LabelArray, share: float, seed: int, *, keep_classes: bool
) -> tuple[Indices, Indices]:
    """Indices for training and for validation, each in ascending order.

    Args:
        labels: ``(N, outputs)``.
        share: How much is drawn for validation, in (0, 1); at least one sample to each side.
        seed: Decides what is drawn.
        keep_classes: Whether a class of whose samples none would be trained on gets one of them
            back, at the cost of the share.

    Raises:
        DataError: ``share`` does not lie between 0 and 1.
    """
    check_share(share)
    count = min(max(round(len(labels) * share), 1), len(labels) - 1)
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out, trained = order[:count], order[count:]
    if keep_classes:
        has = labels != 0
        covered = has[trained].any(axis=0)
        kept = np.ones(len(held_out), dtype=np.bool_)
        for place, index in enumerate(held_out):
            if (has[index] & ~covered).any():
                kept[place] = False
                covered |= has[index]
        held_out = held_out[kept]
    return _sides(len(labels), held_out)


def check_share(share: float) -> None:
    """Raise a :class:`DataError` unless ``share`` lies between 0 and 1."""
    if not 0 < share < 1:
        raise DataError(
            f"a validation share of {share} was given; it must lie between 0 and 1",
            hint="The usual one is --val-split 0.2.",
        )


def _sides(count: int, held_out: Indices) -> tuple[Indices, Indices]:
    mask = np.zeros(count, dtype=bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
