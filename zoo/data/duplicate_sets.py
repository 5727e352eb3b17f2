"""Duplicates and near-duplicates within the samples of a cross-validation, which share a fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.labels import LabelKind
from zoo.data.matches import sets_of
from zoo.data.samples import Samples
from zoo.data.sequences import Indices


def kept_together(samples: Samples, task: LabelKind, count: int) -> tuple[Indices | None, str]:
    """Which samples are kept in one fold, ``(N,)``, and a note for the user.

    A set that is larger than a fold is divided: images that are all alike, such as the frames of a
    video, have no folds that are apart, unless the user names groups.

    Args:
        samples: All of them.
        task: That of the labels.
        count: Number of folds.
    """
    alike = sets_of_alike(samples)
    if alike is None:
        return None, ""
    alike, divided = _no_larger_than(alike, np.arange(len(samples)), len(samples) // count)
    sets = alike
    if samples.groups is not None:
        own = np.unique(samples.groups, return_inverse=True)[1].reshape(-1)
        sets, _ = _no_larger_than(sets_of([own, alike]), own, len(samples) // count)
    if not _divisible(samples, sets, task, count):
        return None, ""
    sizes = np.bincount(alike)
    several = sizes[sizes > 1]
    nouns = samples.kind.nouns
    facts = []
    if len(several):
        in_sets = f"in {len(several):,} {'set' if len(several) == 1 else 'sets'}"
        facts.append(
            f"{several.sum():,} {nouns} are duplicates or near-duplicates, {in_sets}: the "
            f"{nouns} of a set are in one fold"
        )
    if divided:
        facts.append(
            f"{divided:,} {nouns} that are all alike are more than a fold has, so it is not kept together"
        )
    return (sets if len(several) else None), "; ".join(facts)


def first_of_sets(sets: Indices) -> tuple[Indices, Indices]:
    """The index of the first sample of each set, and ``(N,)`` the place of each sample's set."""
    _, first, numbers = np.unique(sets, return_index=True, return_inverse=True)
    return first, numbers.reshape(-1)


def sets_of_alike(samples: Samples) -> Indices | None:
    """``(N,)``, equal numbers for duplicates and near-duplicates; ``None`` if there are none."""
    labels = list[NDArray[Any]]()
    if samples.contents is not None:
        labels.append(samples.contents)
    if samples.hashes is not None and (near := samples.kind.near_sets(samples.hashes)) is not None:
        labels.append(near)
    if not labels or all(len(np.unique(each)) == len(samples) for each in labels):
        return None
    return sets_of(labels)


def _no_larger_than(sets: Indices, otherwise: Indices, most: int) -> tuple[Indices, int]:
    """``sets`` with the larger ones divided as ``otherwise`` says, and how many samples they have."""
    large = np.bincount(sets)[sets] > most
    if not large.any():
        return sets, 0
    divided = np.where(large, otherwise + len(sets), sets)
    return np.unique(divided, return_inverse=True)[1].reshape(-1), int(large.sum())


def _divisible(samples: Samples, sets: Indices, task: LabelKind, count: int) -> bool:
    """Whether there are enough sets, and of a class, for scikit-learn to make folds of them."""
    assert samples.labels is not None
    first, _ = first_of_sets(sets)
    strata = task.strata(samples.labels)
    largest = len(first) if strata is None else int(np.bincount(strata[first]).max())
    return largest >= count
