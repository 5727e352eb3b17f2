"""Folds of a dataset for cross-validation: training and validation samples, merged and divided again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.groups import parts_of, require_groups
from zoo.data.labels import LabelKind
from zoo.data.samples import Pool, Samples, Splits, splits_fingerprint
from zoo.data.sequences import Indices, Joined
from zoo.errors import DataError


def merged(splits: Splits) -> Splits:
    """``splits`` with all training and validation samples in both; ``test`` stays apart."""
    train, val = splits.train, splits.val
    whole = _joined([train, val]) if val is not None and len(val) else train
    every = np.arange(len(whole))
    return _of_pool(splits, Pool(whole, every, every), whole, whole)


def fold_of(splits: Splits, task: LabelKind, *, count: int, number: int, seed: int) -> Splits:
    """One fold of merged ``splits``: its part is ``val``, the others are ``train``.

    By scikit-learn's ``StratifiedKFold``, or ``StratifiedGroupKFold`` if there are groups;
    stratified as the task says.

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
    whole = splits.train
    assert whole.labels is not None
    return parts_of(task.strata(whole.labels), whole.groups, count, seed)


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


def _joined(parts: Sequence[Samples]) -> Samples:
    """Samples of the same data, one after the other."""

    def together(values: Sequence[NDArray[Any] | None]) -> Any:
        known = [each for each in values if each is not None]
        return np.concatenate(known) if len(known) == len(parts) else None

    digests = [each for part in parts for each in part.digests or ()]
    fingerprints = "\0".join(part.fingerprint for part in parts)
    count = sum(map(len, parts))
    return Samples(
        parts[0].kind,
        Joined(tuple(part.inputs for part in parts), np.arange(count)),
        together([part.labels for part in parts]),
        hashlib.sha256(fingerprints.encode()).hexdigest(),
        contents=together([part.contents for part in parts]),
        hashes=together([part.hashes for part in parts]),
        traits=together([part.traits for part in parts]),
        groups=together([part.groups for part in parts]),
        digests=digests if all(part.digests is not None for part in parts) else None,
    )
