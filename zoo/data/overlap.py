"""Samples that training and validation have in common, which make every figure too good."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import Samples
from zoo.errors import DataError

Contents: TypeAlias = NDArray[np.uint64]


def picture_contents(digests: Sequence[bytes]) -> Contents:
    """From the sha256 of each file to a number that stands for it: ``(N,)``."""
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64)


def text_contents(rows: Sequence[tuple[str, ...]]) -> Contents:
    """From the texts of each row to a number that stands for them, whatever their case and blanks."""
    plain = ["\0".join(" ".join(text.split()).casefold() for text in row) for row in rows]
    return picture_contents([hashlib.sha256(text.encode()).digest() for text in plain])


def shared_inputs(train: Samples, val: Samples) -> tuple[str, ...]:
    """The inputs of ``val`` whose contents ``train`` has too, as reports call them."""
    if train.contents is None or val.contents is None:
        return ()
    return tuple(val.input(int(i)) for i in np.flatnonzero(np.isin(val.contents, train.contents)))


def without_shared(train: Samples, val: Samples, classes: Sequence[str]) -> Samples:
    """``train`` without what ``val`` has too.

    Raises:
        DataError: Nothing is left of it, or of a class.
    """
    if train.contents is None or val.contents is None or train.labels is None:
        return train
    kept = train.select(np.flatnonzero(~np.isin(train.contents, val.contents)))
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
