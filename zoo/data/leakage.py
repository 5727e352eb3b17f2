"""Samples that training has in common with what it is measured on: they make every figure too good."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.data.samples import Samples
from zoo.errors import DataError
from zoo.modalities.image.perceptual_hash import MOST_PAIRS, alike

Contents: TypeAlias = NDArray[np.uint64]
_Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """What training has in common with validation and test.

    Attributes:
        shared: The held-out inputs whose contents are in training too, as reports call them.
        near: The other held-out pictures that look like one in training; ``None`` where there are
            too many to compare.
        in_train: ``(N,)``, which samples of training are shared or near.
    """

    shared: tuple[str, ...]
    near: tuple[str, ...] | None
    in_train: _Flags


def picture_contents(digests: Sequence[bytes]) -> Contents:
    """From the sha256 of each file to a number that stands for it: ``(N,)``."""
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64)


def text_contents(rows: Sequence[tuple[str, ...]]) -> Contents:
    """From the texts of each row to a number for them, whatever their case, blanks and form.

    Unicode's form NFKC makes one of letters that look the same: é of one character or of two,
    full-width Latin letters, ligatures.
    """
    plain = ["\0".join(_plain(text) for text in row) for row in rows]
    return picture_contents([hashlib.sha256(text.encode()).digest() for text in plain])


def _plain(text: str) -> str:
    if text.isascii():
        return " ".join(text.split()).lower()
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def overlap(train: Samples, held_out: Sequence[Samples]) -> Overlap:
    """What ``train`` has in common with samples that are held out."""
    shared: list[str] = []
    near: list[str] | None = [] if _few_enough(train, held_out) else None
    in_train = np.zeros(len(train), dtype=bool)
    for held in held_out:
        same, of_train = _same(train, held)
        shared += [held.input(int(i)) for i in np.flatnonzero(same)]
        in_train |= of_train
        if near is not None and train.looks is not None and held.looks is not None:
            of_train, like = alike(train.looks, held.looks)
            near += [held.input(int(i)) for i in np.flatnonzero(like & ~same)]
            in_train |= of_train
    return Overlap(tuple(shared), None if near is None else tuple(near), in_train)


def _same(train: Samples, held: Samples) -> tuple[_Flags, _Flags]:
    """Which of ``held`` have contents that ``train`` has too, and the other way round."""
    if train.contents is None or held.contents is None:
        return np.zeros(len(held), dtype=bool), np.zeros(len(train), dtype=bool)
    return np.isin(held.contents, train.contents), np.isin(train.contents, held.contents)


def _few_enough(train: Samples, held_out: Sequence[Samples]) -> bool:
    return train.looks is None or len(train) * sum(len(held) for held in held_out) <= MOST_PAIRS


def without_shared(train: Samples, found: Overlap, classes: Sequence[str]) -> Samples:
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
