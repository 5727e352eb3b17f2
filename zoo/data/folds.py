"""Folds of a dataset for cross-validation: training and validation samples, merged and divided again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zoo.data.duplicate_sets import first_of_sets, kept_together
from zoo.data.groups import parts_of, require_groups
from zoo.data.labels import LabelKind
from zoo.data.samples import Pool, Samples, Splits, joined, splits_fingerprint
from zoo.data.sequences import Indices
from zoo.errors import DataError


def merged(splits: Splits, task: LabelKind, count: int) -> Splits:
    """``splits`` with all training and validation samples in both; ``test`` stays apart.

    Args:
        splits: Opened for a cross-validation.
        task: That of the labels.
        count: Number of folds.
    """
    train, val = splits.train, splits.val
    whole = joined([train, val]) if val is not None and len(val) else train
    every = np.arange(len(whole))
    together, note = kept_together(whole, task, count)
    notes = [each for each in (note, _scarce(whole, splits.classes, count)) if each]
    splits = replace(splits, notes=(*splits.notes, *notes))
    return _of_pool(splits, Pool(whole, every, every, together), whole, whole)


def _scarce(whole: Samples, classes: Sequence[str], count: int) -> str:
    """A note on the classes that have fewer samples than there are folds."""
    labels = whole.labels
    if labels is None or np.issubdtype(labels.dtype, np.floating):
        return ""
    sizes = np.bincount(labels, minlength=len(classes))
    few = [(name, size) for name, size in zip(classes, sizes, strict=True) if size < count]
    if not few:
        return ""
    some = ", ".join(f"{name!r} {size}" for name, size in few[:3]) + (", …" if few[3:] else "")
    return f"classes with fewer samples than the {count} folds, which not every fold has: {some}"


def fold_of(splits: Splits, task: LabelKind, *, count: int, number: int, seed: int) -> Splits:
    """One fold of merged ``splits``: its part is ``val``, the others are ``train``.

    By scikit-learn's ``StratifiedKFold``, or ``StratifiedGroupKFold`` if there are groups;
    stratified as the task says. Duplicates and near-duplicates are in the fold of the first of them.

    Args:
        splits: From :func:`merged`.
        task: That of the labels.
        count: Number of folds.
        number: The fold, from 1.
        seed: Determines the parts.
    """
    whole = splits.train
    held = held_out(splits, task, count=count, seed=seed)[number - 1]
    rest = np.setdiff1d(np.arange(len(whole)), held)
    return _of_pool(splits, Pool(whole, rest, held), whole.select(rest), whole.select(held))


def _of_pool(splits: Splits, pool: Pool, train: Samples, val: Samples) -> Splits:
    fingerprint = splits_fingerprint(splits.classes, train, val, None)
    return replace(splits, train=train, val=val, fingerprint=fingerprint, pool=pool)


def held_out(splits: Splits, task: LabelKind, *, count: int, seed: int) -> list[Indices]:
    """Indices of the samples that each fold of merged ``splits`` holds out, each ascending."""
    whole, pool = splits.train, splits.pool
    assert whole.labels is not None
    assert pool is not None
    strata = task.strata(whole.labels)
    if pool.together is None or whole.groups is not None:
        groups = whole.groups if pool.together is None else pool.together
        return parts_of(strata, groups, count, seed, len(whole))
    first, numbers = first_of_sets(pool.together)
    parts = parts_of(None if strata is None else strata[first], None, count, seed, len(first))
    return [np.flatnonzero(np.isin(numbers, part)) for part in parts]


def require_folds(splits: Splits, task: LabelKind, *, count: int, seed: int, typed: str) -> None:
    """Check that merged ``splits`` can be divided into so many folds.

    Args:
        splits: From :func:`merged`.
        task: That of the labels.
        count: Number of folds.
        seed: Determines the parts.
        typed: The option that names the groups.

    Raises:
        DataError: There are too few samples, groups, or samples of a class.
    """
    whole = splits.train
    assert whole.labels is not None
    if len(whole) < count:
        raise DataError(
            f"--folds {count} needs at least {count} samples, and there are {len(whole)}",
            hint=f"Use at most --folds {max(2, len(whole))}.",
        )
    require_groups(whole.groups, typed=typed, least=count, need=f"--folds {count}")
    strata = task.strata(whole.labels)
    largest = len(whole) if strata is None else int(np.bincount(strata).max())
    if largest < count:
        raise DataError(
            f"--folds {count} needs a class of at least {count} samples; the largest has {largest}",
            hint=f"Use at most --folds {max(2, largest)}.",
        )
    parts = held_out(splits, task, count=count, seed=seed)
    for number, held in enumerate(parts, start=1):
        if not len(held) or len(held) == len(whole):
            raise DataError(
                f"fold {number} of {count} would be empty or have all samples: the groups are too "
                "unequal",
                hint="Use fewer --folds.",
            )
