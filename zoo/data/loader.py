"""Batches in a reproducible order, whatever the number of worker processes."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from zoo.data.balance import balanced_chances, repetitions
from zoo.data.samples import Samples
from zoo.data.sequences import Pair
from zoo.data.worker_batches import (
    Packed,
    Unsent,
    deaths_noticed_when_awaited,
    died,
    lost,
    pack,
    shorten_sockets,
)
from zoo.errors import WorkersError, ZooError
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.traits import TRAITS, Traits
from zoo.modalities.image.transforms import ImageTransform
from zoo.modalities.text.tokenization import TextEncoder
from zoo.system.memory import give_back
from zoo.system.tensors.seeds import mixed_seed

Key: TypeAlias = tuple[int, int]
"""Variation and position among the samples. The variation is the epoch, which travels with each
request so that worker processes that outlive an epoch know it; for a sample that balancing draws
again in an epoch it is another number."""

Share: TypeAlias = tuple[int, int]
"""Which of several processes this is, from 0, and how many there are."""

TensorBatch: TypeAlias = dict[str, Tensor]

_POOL = 50  # batches whose texts are sorted by length together; more saves padding, less is random
_CHUNK = 1_000  # texts that are tokenised at a time


class Failure:
    """An error that a worker process hands back; torch would wrap its message in a traceback."""

    def __init__(self, error: ZooError) -> None:
        self.error = error


class Feed(Dataset[TensorBatch], ABC):
    """Makes batches of ``samples``.

    Attributes:
        samples: Which.
        cut: Which of them are texts that are longer than the network reads, ``(N,)``; empty of
            pictures.
        reading: How pictures are read, where batches are to hold ``traits`` of them, for
            :attr:`Loader.traits`.
    """

    samples: Samples
    cut: NDArray[np.bool_] = np.zeros(0, np.bool_)
    reading: Reading | None = None

    @abstractmethod
    def __getitems__(self, keys: Sequence[Key]) -> TensorBatch | Failure:
        """One batch, or the error that says why there is none."""


class ImageFeed(Feed):
    """Batches of pictures: ``pixel_values`` ``(B, 3, size, size)``, ``index``, ``labels``.

    The pixels are bytes, of 0 to 255: a quarter of what floats would take on their way from a worker
    and to a GPU. The whole batch is normalised where it is computed with. With deep pictures among
    them they are floats, and normalised.
    """

    def __init__(
        self, samples: Samples, transform: ImageTransform, seed: int, reading: Reading | None = None
    ) -> None:
        self.samples = samples
        self.transform = transform
        self.seed = seed
        self.reading = reading

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> TensorBatch:
        return self._batch([(0, index)])

    def __getitems__(self, keys: Sequence[Key]) -> TensorBatch | Failure:
        try:
            return self._batch(keys)
        except ZooError as error:
            return Failure(error)

    def _batch(self, keys: Sequence[Key]) -> TensorBatch:
        traits = np.zeros(len(keys), TRAITS)
        rows = [traits[place : place + 1] for place in range(len(keys))]
        prepared = [self._pixels(*key, row) for key, row in zip(keys, rows, strict=True)]
        batch = {"pixel_values": self.transform.together(prepared)}
        if self.reading is not None:  # as bytes, since a batch holds tensors
            batch["traits"] = torch.from_numpy(traits.view(np.uint8).reshape(len(keys), -1))
        return batch | _labels(self.samples, [index for _, index in keys])

    def _pixels(self, variation: int, index: int, traits: Traits) -> Tensor:
        name = self.samples.input(index)
        if self.reading is None:
            picture = self.transform.read(self.samples.picture(index), name)
        else:
            picture = self.transform.read(self.samples.picture(index), name, traits)
            self.reading.refuse(traits, name)
        return self.transform.pixels(picture, seed=mixed_seed(self.seed, variation, index))


class TextFeed(Feed):
    """Batches of texts: ``input_ids`` and ``attention_mask`` ``(B, T)``, ``index``, ``labels``.

    Pairs have ``token_type_ids`` ``(B, T)`` too, if the tokenizer tells the texts of any apart.
    All texts are tokenised once, here. The ids lie in temporary files that are mapped into
    memory, so that RAM does not grow with the data.
    """

    def __init__(self, samples: Samples, encoder: TextEncoder) -> None:
        self.samples = samples
        self.encoder = encoder
        pairs, lengths, cut = samples.pairs, list[int](), list[bool]()
        with tempfile.TemporaryFile() as ids, tempfile.TemporaryFile() as types:
            for start in range(0, len(samples), _CHUNK):
                stop = min(start + _CHUNK, len(samples))
                tokens = encoder.tokens([_text(samples, i) for i in range(start, stop)])
                lengths += [len(own.ids) for own in tokens]
                cut += [own.cut for own in tokens]
                ids.write(np.concatenate([own.ids for own in tokens]).astype(np.int32).tobytes())
                if pairs:
                    joined = np.concatenate([own.types for own in tokens])
                    types.write(joined.astype(np.int32).tobytes())
            self.lengths, self.cut = np.array(lengths, np.int64), np.array(cut, np.bool_)
            self._ends = np.cumsum(self.lengths)
            self._ids = _mapped(ids)
            self._types = _mapped(types) if pairs else None
        if self._types is not None and not self._types.any():
            self._types = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> TensorBatch:
        return self.__getitems__([(0, index)])

    def __getitems__(self, keys: Sequence[Key]) -> TensorBatch:
        indices = [index for _, index in keys]
        ids = self._rows(self._ids, indices)
        types = None if self._types is None else self._rows(self._types, indices)
        return self.encoder.collate(ids, types) | _labels(self.samples, indices)

    def _rows(self, mapped: np.ndarray[Any, Any], indices: Sequence[int]) -> list[Any]:
        ends = [(self._ends[i], self.lengths[i]) for i in indices]
        return [mapped[end - length : end].astype(np.int64) for end, length in ends]


class Batches(Sampler[list[Key]]):
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
        for batch in self.arranged()[self.start :: self.stride]:
            yield [self._key(int(draw)) for draw in batch[self._rank :: self._processes]]

    def arranged(self) -> list[np.ndarray[Any, Any]]:
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


class Loader(DataLoader[TensorBatch]):
    """A ``DataLoader`` whose order and variation depend on the seed and the epoch alone.

    Its workers stay from one pass to the next. They end when it is closed, which a ``with`` does,
    and when a batch cannot be had.

    Attributes:
        traits: What the pictures that have been read are like (:mod:`zoo.modalities.image.traits`), ``(N,)``
            by their place among the samples, where the feed watches.
    """

    def __init__(self, feed: Feed, batches: Batches, **options: Any) -> None:
        self.feed, self.batches = feed, batches
        self.traits: Traits = np.zeros(len(feed.samples) if feed.reading is not None else 0, TRAITS)
        how = pack if options.get("num_workers") else _as_it_is
        super().__init__(feed, batch_sampler=batches, collate_fn=how, **options)

    def set_epoch(self, epoch: int, *, start: int = 0, stride: int = 1) -> None:
        """Choose what the next pass gives.

        Args:
            epoch: Decides the order and the variation of the pictures.
            start: Batches that the pass leaves out at its beginning.
            stride: From there on it takes each ``stride``-th batch.
        """
        batches = self.batches
        batches.epoch, batches.start, batches.stride = epoch, start, stride

    def names(self, indices: Sequence[int]) -> list[str]:
        """How reports call the samples at ``indices``."""
        return [self.feed.samples.input(index) for index in indices]

    def over(self, feed: Feed) -> Loader:
        """The same samples in the same batches, made by another feed, here."""
        return Loader(feed, self.batches, pin_memory=self.pin_memory)

    def steps(self) -> Iterator[tuple[TensorBatch, int]]:
        """Batches, each with the number of samples that it has over all processes."""
        batches = self.batches
        sizes = [len(batch) for batch in batches.arranged()[batches.start :: batches.stride]]
        yield from zip(self, sizes, strict=True)

    def batch(self, keys: Sequence[Key]) -> TensorBatch:
        """One batch of chosen samples, made here."""
        return _or_raise(self.feed.__getitems__(keys))

    def __iter__(self) -> Iterator[TensorBatch]:  # type: ignore[override]
        if self.num_workers and self._iterator is None:
            give_back()
        batches: Any = ()
        try:
            with _signals_held(), deaths_noticed_when_awaited():
                batches = super().__iter__()  # starts the workers, where they do not run
            for batch in batches:
                yield self._noted(_or_raise(batch))
        except GeneratorExit:  # whoever leaves a pass unfinished may want another
            raise
        except BaseException as error:
            dead = died(getattr(batches, "_workers", ()))
            self.close()
            _end_workers(batches)  # of a pass that keeps none for the next
            if dead and isinstance(error, RuntimeError | WorkersError):
                raise dead from None
            raise

    def _noted(self, batch: TensorBatch) -> TensorBatch:
        """The batch without the traits that a watching feed has put into it."""
        if self.feed.reading is not None:
            rows = np.ascontiguousarray(batch.pop("traits").numpy())
            self.traits[batch["index"].numpy()] = rows.view(TRAITS)[:, 0]
        return batch

    def close(self) -> None:
        """End the worker processes and the thread that pins memory; another pass starts new ones.

        Otherwise they would end when the loader is collected as garbage, which an exception that
        somebody keeps puts off.
        """
        running, self._iterator = self._iterator, None
        _end_workers(running)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end_workers(running: Any) -> None:
    """End the workers of an iterator of torch's, where it has some; they end once."""
    workers = getattr(running, "_workers", ())
    if workers:
        running._shutdown_workers()  # torch has no public way
    for worker in workers:
        if worker.is_alive():  # one that may open no more files does not end by itself
            worker.kill()
            worker.join()


def make_loader(
    samples: Samples,
    *,
    transform: ImageTransform | None = None,
    encoder: TextEncoder | None = None,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    pin: bool = False,
    by_length: bool = True,
    drop_last: bool = False,
    share: Share = (0, 1),
    balanced: bool = False,
    reading: Reading | None = None,
) -> Loader:
    """Batches of ``samples``: the inputs, ``index`` (positions among the samples), ``labels``.

    Args:
        samples: Pictures (with ``transform``) or texts (with ``encoder``); ``labels`` are in the
            batches where the samples have them.
        transform: Prepares pictures.
        encoder: Tokenises texts, all of them at once, here.
        batch_size: Samples a batch; the last may be smaller.
        shuffle: Draw a new order every epoch (:meth:`Loader.set_epoch`).
        seed: Decides the order and the variation of each picture.
        workers: Processes that read pictures; they stay between epochs. Texts need none.
        pin: Whether the batches are for a GPU.
        by_length: Whether texts of like length form a batch; ``index`` tells where they were.
        drop_last: Leave out a last batch that is not full.
        share: Of several processes, which this one is, and how many there are; each batch is
            dealt out among them.
        balanced: When shuffled, draw with replacement so that each class is equally likely; see
            :func:`zoo.data.balance.balanced_chances`. A picture that is drawn again in an epoch
            is varied anew.
        reading: How pictures are read: what does not fit is refused, and what of them is not seen
            is noted in :attr:`Loader.traits`.

    Raises:
        UsageError: ``balanced``, and the labels are numbers rather than classes.
        BadFilesError: While iterating, from any process: a picture cannot be read.
        WorkersError: While iterating: a worker has ended, or cannot send its batch.
    """
    if (transform is None) == (encoder is None):
        raise ValueError("give transform for pictures, or encoder for texts")
    lengths = None
    feed: ImageFeed | TextFeed
    if transform is not None:
        feed = ImageFeed(samples, transform, seed, reading)
    elif encoder is not None:
        feed, workers = TextFeed(samples, encoder), 0
        lengths = feed.lengths if by_length else None
    batches = Batches(
        len(samples),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        lengths=lengths,
        share=share,
        chances=balanced_chances(samples.labels) if balanced else None,
    )
    return Loader(
        feed,
        batches,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_begin_work,
        # Each pass draws a seed for the workers; without this, from torch's own random state.
        generator=torch.Generator().manual_seed(seed),
    )


def _or_raise(batch: TensorBatch | Failure | Packed | Unsent | ZooError) -> TensorBatch:
    if isinstance(batch, Packed):
        return _or_raise(batch.open())
    if isinstance(batch, ZooError):
        raise batch
    if isinstance(batch, Unsent):
        raise lost(batch.reason)
    if isinstance(batch, Failure):
        raise batch.error
    return batch


def _text(samples: Samples, index: int) -> str | Pair:
    raw = samples.raw(index)
    return raw if isinstance(raw, tuple) else str(raw)


def _mapped(file: Any) -> np.ndarray[Any, Any]:
    """The numbers in a file. The mapping outlives the file object, which has no name to leave."""
    file.flush()
    return np.memmap(file, dtype=np.int32, mode="r") if file.tell() else np.empty(0, np.int32)


def _labels(samples: Samples, indices: list[int]) -> TensorBatch:
    batch = {"index": torch.tensor(indices)}
    if samples.labels is not None:
        batch["labels"] = torch.from_numpy(samples.labels[indices])
    return batch


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals come when the block ends, and in processes that it starts when these let them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_work(_: int) -> None:
    shorten_sockets()
    _leave_signals_to_the_main_process()


def _leave_signals_to_the_main_process() -> None:
    """Ctrl-C reaches every process of the terminal, and SIGTERM may reach every one of a group.

    What becomes of them, the main process decides, and to finish its step it needs the batches.
    A SIGTERM of its own, which ``torch`` sends at the end, ends the worker; macOS and Windows do
    not say who sent one, and there any does. The worker was started with both held.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_when_told_by(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)


def _as_it_is(batch: Any) -> Any:
    return batch
