"""Batches in a reproducible order, whatever the number of worker processes."""

from __future__ import annotations

import os
import signal
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
from zoo.system.memory import give_back

Key: TypeAlias = tuple[int, int]
"""Variation and position among the samples. The variation is the epoch, which travels with each
request so that worker processes that outlive an epoch know it; for a sample that balancing draws
again in an epoch it is another number."""

Share: TypeAlias = tuple[int, int]
"""Which of several processes this is, from 0, and how many there are."""

TensorBatch: TypeAlias = dict[str, Tensor]

_POOL = 50  # batches whose inputs are sorted by length together; more saves padding, less is random


class Failure:
    """An error that a worker process hands back; torch would wrap its message in a traceback."""

    def __init__(self, error: ZooError) -> None:
        self.error = error


class BatchReader(Dataset[TensorBatch], ABC):
    """Makes batches of ``samples``; each modality has its own.

    Attributes:
        samples: Which.
        lengths: ``(N,)``, how long each is, where batches differ in length; else ``None``.
        cut: ``(N,)``, which are longer than the network reads; empty where none can be.
        traits_type: Of the traits that it notes of each sample in ``traits`` of its batches, for
            :attr:`Loader.traits`; ``None`` where it notes none.
        in_processes: Whether worker processes are of use.
    """

    samples: Samples
    lengths: NDArray[np.int64] | None = None
    cut: NDArray[np.bool_] = np.zeros(0, np.bool_)
    traits_type: np.dtype[Any] | None = None
    in_processes: bool = True

    def __len__(self) -> int:
        return len(self.samples)

    @abstractmethod
    def __getitems__(self, keys: Sequence[Key]) -> TensorBatch | Failure:
        """One batch, or the error that says why there is none."""


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
        reader: Makes the batches.
        order: Says of what.
        traits: What the inputs that have been read are like, ``(N,)`` by their place among the
            samples, where the reader notes it.
    """

    def __init__(self, reader: BatchReader, order: BatchOrder, **options: Any) -> None:
        self.reader, self.order = reader, order
        self.traits: NDArray[Any] = np.zeros(
            0 if reader.traits_type is None else len(reader.samples), reader.traits_type
        )
        how = pack if options.get("num_workers") else _as_it_is
        super().__init__(reader, batch_sampler=order, collate_fn=how, **options)

    def set_epoch(self, epoch: int, *, start: int = 0, stride: int = 1) -> None:
        """Choose what the next pass gives.

        Args:
            epoch: Decides the order and the augmentation.
            start: Batches that the pass leaves out at its beginning.
            stride: From there on it takes each ``stride``-th batch.
        """
        order = self.order
        order.epoch, order.start, order.stride = epoch, start, stride

    def names(self, indices: Sequence[int]) -> list[str]:
        """How reports call the samples at ``indices``."""
        return [self.reader.samples.input(index) for index in indices]

    def over(self, reader: BatchReader) -> Loader:
        """The same samples in the same batches, made by another reader, here."""
        return Loader(reader, self.order, pin_memory=self.pin_memory)

    def steps(self) -> Iterator[tuple[TensorBatch, int]]:
        """Batches, each with the number of samples that it has over all processes."""
        order = self.order
        sizes = [len(batch) for batch in order.arranged()[order.start :: order.stride]]
        yield from zip(self, sizes, strict=True)

    def batch(self, keys: Sequence[Key]) -> TensorBatch:
        """One batch of chosen samples, made here."""
        return _or_raise(self.reader.__getitems__(keys))

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
        """The batch without the traits that its reader has put into it."""
        if self.reader.traits_type is not None:
            rows = np.ascontiguousarray(batch.pop("traits").numpy())
            self.traits[batch["index"].numpy()] = rows.view(self.reader.traits_type)[:, 0]
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
    reader: BatchReader,
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    pin: bool = False,
    by_length: bool = True,
    drop_last: bool = False,
    share: Share = (0, 1),
    balanced: bool = False,
) -> Loader:
    """Batches of samples: the inputs, ``index`` (positions among the samples), ``labels``.

    Args:
        reader: Makes them; ``labels`` are in the batches where the samples have them.
        batch_size: Samples a batch; the last may be smaller.
        shuffle: Draw a new order every epoch (:meth:`Loader.set_epoch`).
        seed: Decides the order.
        workers: Processes that read inputs; they stay between epochs. None are started where they
            are of no use to the reader.
        pin: Whether the batches are for a GPU.
        by_length: Whether inputs of like length form a batch, where they differ in it; ``index``
            tells where they were.
        drop_last: Leave out a last batch that is not full.
        share: Of several processes, which this one is, and how many there are; each batch is
            dealt out among them.
        balanced: When shuffled, draw with replacement so that each class is equally likely; see
            :func:`zoo.data.balance.balanced_chances`. An input that is drawn again in an epoch
            is augmented in another way.

    Raises:
        UsageError: ``balanced``, and the labels are numbers rather than classes.
        BadFilesError: While iterating, from any process: an input cannot be read.
        WorkersError: While iterating: a worker has ended, or cannot send its batch.
    """
    samples, workers = reader.samples, workers if reader.in_processes else 0
    order = BatchOrder(
        len(samples),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        lengths=reader.lengths if by_length else None,
        share=share,
        chances=balanced_chances(samples.labels) if balanced else None,
    )
    return Loader(
        reader,
        order,
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


def labels_of(samples: Samples, indices: list[int]) -> TensorBatch:
    """What a batch has of any samples: ``index``, their places, and ``labels`` where they have some."""
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
