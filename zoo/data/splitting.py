"""Train/validation splits for data that comes without."""

from __future__ import annotations

import numpy as np

from zoo.data.samples import LabelArray
from zoo.data.sequences import Indices
from zoo.errors import DataError

VAL_SPLIT = 0.2
"""The default validation share."""


def stratified_split(labels: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Training and validation indices, each ascending, stratified by class.

    About ``share`` of every class goes to validation, with at least one sample on each side; a
    class with a single sample stays in training.

    Raises:
        DataError: ``share`` is not between 0 and 1.
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
    """Training and validation indices, each ascending, drawn at random.

    Args:
        labels: ``(N, outputs)``.
        share: The validation share, in (0, 1); at least one sample goes to each side.
        seed: Determines the draw.
        keep_classes: Return samples to training so that every class has one there.

    Raises:
        DataError: ``share`` is not between 0 and 1.
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
    """Raise a :class:`DataError` unless ``share`` is between 0 and 1."""
    if not 0 < share < 1:
        raise DataError(
            f"--val-split must be between 0 and 1, got {share}",
            hint="The default is --val-split 0.2.",
        )


def _sides(count: int, held_out: Indices) -> tuple[Indices, Indices]:
    mask = np.zeros(count, dtype=bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
