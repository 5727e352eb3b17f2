"""Which samples form which batch: the same order everywhere, from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from torch.utils.data import Sampler

from zoo.data.balance import repetitions

Key: TypeAlias = tuple[int, int]
"""Variation and position among the samples. The variation is the epoch, which travels with each
request so that worker processes that outlive an epoch know it; for a sample that balancing draws
again in an epoch it is another number."""

Share: TypeAlias = tuple[int, int]
"""Which of several processes this is, from 0, and how many there are."""

_POOL = 50  # batches whose inputs are sorted by length together; more saves padding, less is random


class BatchOrder(Sampler[list[Key]]):
    """Which samples form which batch.

    Without ``lengths``, in order or shuffled. With them, texts of like length come together:
    sorted, longest first, or when shuffled within pools of many batches drawn at random. With
    ``chances`` and shuffled, an epoch draws as many samples as there are, with replacement.

    Attributes:
        epoch: Decides the order when shuffled.
        start: Batches of the epoch that are left out at its beginning.
        stride: From there on each ``stride``-th batch is taken.
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        lengths: np.ndarray[Any, Any] | None = None,
        share: Share = (0, 1),
        chances: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self.epoch, self.start, self.stride = 0, 0, 1
        self._count = count
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._drop_last = drop_last
        self._lengths = lengths
        self._rank, self._processes = share
        self._chances = chances

    def __len__(self) -> int:
        whole, rest = divmod(self._count, self._batch_size)
        return whole + (1 if rest and not self._drop_last else 0)

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self.epoch_batches()[self.start :: self.stride]:
            yield [self._key(int(draw)) for draw in batch[self._rank :: self._processes]]

    def epoch_batches(self) -> list[np.ndarray[Any, Any]]:
        """The epoch's batches, whole, as draws; without balancing those are positions."""
        generator = np.random.default_rng((self._seed % 2**64, self.epoch))
        order = self._order(generator)
        if self._lengths is not None:
            order = self._by_length(order, self._lengths)
        batches = [order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size)]
        batches = batches[: len(self)]
        if self._shuffle and self._lengths is not None:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        return batches

    def _order(self, generator: np.random.Generator) -> np.ndarray[Any, Any]:
        """The epoch's draws: positions among the samples, plus their number for each repetition."""
        if not self._shuffle:
            return np.arange(self._count)
        if self._chances is None:
            return generator.permutation(self._count)
        drawn = generator.choice(self._count, size=self._count, p=self._chances)
        draws: np.ndarray[Any, Any] = drawn + self._count * repetitions(drawn)
        return draws

    def _key(self, draw: int) -> Key:
        repetition, index = divmod(draw, self._count)
        return self.epoch + (repetition << 32), index

    def _by_length(
        self, order: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        pool = _POOL * self._batch_size if self._shuffle else max(1, len(order))
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        return np.concatenate(
            [p[np.argsort(-lengths[p % self._count], kind="stable")] for p in pools]
        )
