"""Perceptual hashes, to find copies of images in another size, format or brightness.

Other inputs have one too if they can be shown as an image, such as the spectrogram of a recording.

An image is reduced to 32 x 32 gray pixels; the hash is the signs of the lowest 255 frequencies of their
cosine transform (as in Zauner 2010, *Implementation and Benchmarking of Perceptual Image Hash
Functions*, with signs instead of a median). Mirroring flips the signs of the odd horizontal
frequencies, so mirrored copies cost one more comparison and no memory.

For measurements on 1,687 photographs of clothes see docs/finetuning.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.examined import Hashes
from zoo.data.matches import Matches
from zoo.data.sequences import Indices
from zoo.system.processor import usable_cores

SIDE = 32
"""Side of the thumbnail that is transformed, in pixels."""

NEAR = 48
"""Maximum Hamming distance of copies. In the photographs, the nearest images that are not copies
differ in 52 bits."""

MAX_PAIRS = 2 * 10**11
"""The most pairs compared for near-duplicates: a million samples, a fifth of them held out, are
1.6e11."""

_COARSE = 16  # maximum distance in the first 64 bits, which rules out nearly all pairs
_BLOCK = 32_768  # hashes that fit into a core's cache
_HELD = 256  # held-out images per task


def _frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = np.indices((16, 16)).reshape(2, -1)[:, 1:]
    order = np.argsort(rows + columns, kind="stable")
    return rows[order], columns[order]


_ROWS, _COLUMNS = _frequencies()


# The lowest 16 rows of the cosine transform. SciPy, which has it, takes longer to import than
# some thousand images take to transform.
_LOWEST = 2 * np.cos(np.pi / SIDE * np.outer(np.arange(16), np.arange(SIDE) + 0.5))


def squashed(matrix: Any) -> NDArray[np.float32]:
    """A matrix of at least 32 x 32 as one of that size: means of its parts."""
    values = np.asarray(matrix, dtype=np.float32)
    for axis in (0, 1):
        length = values.shape[axis]
        starts = np.arange(SIDE) * length // SIDE
        counts = np.diff(np.append(starts, length)).astype(np.float32)
        values = np.add.reduceat(values, starts, axis=axis)
        values /= counts[:, None] if axis == 0 else counts
    return values


def low_frequencies(thumbnails: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float64]:
    """The lowest 16 x 16 coefficients ``(N, 16, 16)`` of the cosine transform (DCT-II) of ``(N, 32, 32)``."""
    return np.asarray(_LOWEST @ thumbnails.astype(np.float64) @ _LOWEST.T)


def hashes_of(thumbnails: NDArray[np.uint8] | NDArray[np.float32]) -> Hashes:
    """Hashes ``(N, 4)`` of gray thumbnails ``(N, 32, 32)``, low frequencies first; 0 if blank."""
    waves = low_frequencies(thumbnails)
    return _packed(waves[:, _ROWS, _COLUMNS] > 0.5)  # blank images have rounding errors


def _packed(signs: NDArray[np.bool_]) -> Hashes:
    padded = np.pad(np.ascontiguousarray(signs), ((0, 0), (0, 1)))
    packed = np.packbits(padded, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


_MIRRORED = _packed(_COLUMNS[None] % 2 == 1)


def near_matches(train: Hashes, held: Hashes, *, mirrored: bool = True) -> Matches | None:
    """The near-duplicates of ``held`` in ``train``; ``None`` if there are too many to compare.

    Compares every pair, with NumPy and threads.

    Args:
        train: ``(N, 4)``.
        held: ``(M, 4)``.
        mirrored: Whether mirrored copies count too.
    """
    if len(train) * len(held) > MAX_PAIRS:
        return None
    matches = Matches.none(len(train), len(held))

    def note(i: int, found: Indices) -> None:
        matches.in_train[found] = True
        if matches.of_held[i] < 0:
            matches.of_held[i] = found[0]

    _compare(train, held, note, mirrored=mirrored)
    return matches


def near_sets(hashes: Hashes, *, mirrored: bool = True) -> Indices | None:
    """``(N,)``, equal numbers for near-duplicates and for those connected by a chain of them.

    ``None`` if there are too many to compare.
    """
    if len(hashes) ** 2 > MAX_PAIRS:
        return None
    sets = np.arange(len(hashes))
    one_at_a_time = Lock()

    def note(i: int, found: Indices) -> None:
        with one_at_a_time:
            joined = np.unique(sets[np.append(found, i)])
            if len(joined) > 1:
                sets[np.isin(sets, joined)] = joined[0]

    _compare(hashes, hashes, note, mirrored=mirrored)
    return sets


def _compare(
    train: Hashes, held: Hashes, note: Callable[[int, Indices], None], *, mirrored: bool
) -> None:
    """Call ``note``, in threads, with each of ``held`` and its near-duplicates in ``train``."""
    known = np.flatnonzero(train.any(axis=1))
    ordered = np.ascontiguousarray(train[known].T)  # (4, N): one word of all after the other
    flips = _MIRRORED[0] * np.array([[0], [1]][: 1 + mirrored], dtype=np.uint64)

    def compare(start: int) -> None:
        queries = held[start : start + _HELD]
        for block in range(0, len(known), _BLOCK):
            for i, j in _near(ordered[:, block : block + _BLOCK], queries, flips):
                note(start + i, known[block + j])

    with ThreadPoolExecutor(max_workers=math.ceil(usable_cores())) as pool:
        list(pool.map(compare, range(0, len(held), _HELD)))


def _near(train: Hashes, held: Hashes, flips: Hashes) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each of ``held``, ``(M, 4)``, the indices of its near-duplicates in ``train``, ``(4, N)``."""
    signs, counts = np.empty_like(train[0]), np.empty(train.shape[1], dtype=np.uint8)
    out = np.empty(train.shape[1], dtype=bool)
    for i in np.flatnonzero(held.any(axis=1)):
        for look in held[i] ^ flips:
            np.bitwise_xor(train[0], look[0], out=signs)
            np.bitwise_count(signs, out=counts)
            coarse = np.flatnonzero(np.less_equal(counts, _COARSE, out=out))
            if len(coarse):
                differences = np.bitwise_count(train[:, coarse] ^ look[:, None]).sum(axis=0)
                found = coarse[differences <= NEAR]
                if len(found):
                    yield int(i), found
