"""A batch sampler whose order depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from torch.utils.data import Sampler

from zoo.data.balance import repetitions

Key: TypeAlias = tuple[int, int]
"""Augmentation key and index of a sample. The key is the epoch: workers outlive epochs, so it
travels with each request. A sample that balancing draws again in an epoch gets another key."""

Share: TypeAlias = tuple[int, int]
"""Rank and world size."""

_POOL = 100
"""Batches sorted by length together. More save padding, but are less random: on SST-2 in batches of 32,
50 leave 3.1 % of the tokens for padding, 100 leave 2.0 %."""


class BatchOrder(Sampler[list[Key]]):
    """A batch sampler: in order, shuffled, bucketed by length, or weighted.

    With ``lengths``, inputs of similar length share a batch: sorted, longest first, or when
    shuffling, sorted within random pools of many batches. With ``probabilities`` and shuffling,
    an epoch draws as many samples as there are, with replacement.

    Attributes:
        epoch: Determines the order when shuffling.
        start: Batches to skip at the beginning of the epoch.
        stride: From there on, take every ``stride``-th batch.
        batch_size: Samples per batch.
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
        probabilities: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self.epoch, self.start, self.stride = 0, 0, 1
        self._count = count
        self.batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._drop_last = drop_last
        self._lengths = lengths
        self._rank, self._processes = share
        self._probabilities = probabilities

    def __len__(self) -> int:
        whole, rest = divmod(self._count, self.batch_size)
        return whole + (1 if rest and not self._drop_last else 0)

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self.epoch_batches()[self.start :: self.stride]:
            yield [self._key(int(draw)) for draw in batch[self._rank :: self._processes]]

    def epoch_batches(self) -> list[np.ndarray[Any, Any]]:
        """All batches of the epoch, as draws; without balancing, draws are sample indices."""
        generator = np.random.default_rng((self._seed % 2**64, self.epoch))
        order = self._order(generator)
        if self._lengths is not None:
            order = self._by_length(order, self._lengths)
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        batches = batches[: len(self)]
        if self._shuffle and self._lengths is not None:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        return batches

    def _order(self, generator: np.random.Generator) -> np.ndarray[Any, Any]:
        """The epoch's draws: sample indices, plus the number of samples for each repetition."""
        if not self._shuffle:
            return np.arange(self._count)
        if self._probabilities is None:
            return generator.permutation(self._count)
        drawn = generator.choice(self._count, size=self._count, p=self._probabilities)
        draws: np.ndarray[Any, Any] = drawn + self._count * repetitions(drawn)
        return draws

    def _key(self, draw: int) -> Key:
        repetition, index = divmod(draw, self._count)
        return self.epoch + (repetition << 32), index

    def _by_length(
        self, order: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        pool = _POOL * self.batch_size if self._shuffle else max(1, len(order))
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        return np.concatenate(
            [p[np.argsort(-lengths[p % self._count], kind="stable")] for p in pools]
        )
