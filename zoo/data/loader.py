"""Dataloaders whose batches do not depend on the number of worker processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.balance import balanced_probabilities
from zoo.data.batch_order import BatchOrder, Key, Share
from zoo.data.read_ahead import in_threads
from zoo.data.samples import Samples
from zoo.data.worker_batches import (
    Packed,
    Unsent,
    batch_not_sent,
    dead_worker,
    pack,
    sigchld_handler_kept,
)
from zoo.data.worker_processes import end_workers, signals_blocked, start_worker
from zoo.errors import WorkersError, ZooError
from zoo.system.memory import give_back

TensorBatch: TypeAlias = dict[str, Tensor]


class Failure:
    """An error returned by a worker process; torch would wrap its message in a traceback."""

    def __init__(self, error: ZooError) -> None:
        self.error = error


class BatchReader(Dataset[TensorBatch], ABC):
    """Makes batches of ``samples``; each modality has its own.

    Attributes:
        samples: The samples to read.
        lengths: ``(N,)``, the length of each input; ``None`` if all have the same size.
        widths: The lengths that batches are padded to, ascending; empty if each is padded to its
            own longest input. With full batches these are all shapes that occur.
        cut: ``(N,)``, which inputs are truncated; empty if inputs cannot be.
        traits_type: The dtype of the traits that batches carry under ``traits``, for
            :attr:`Loader.traits`; ``None`` if they carry none.
        in_processes: Whether worker processes speed it up.
        in_threads: Whether threads speed it up as much, which share this process's memory: whether
            most of the time is spent in code that releases the GIL, and nothing is random.
        on_device: Whether it makes the inputs on the device; labels are on the CPU.
    """

    samples: Samples
    lengths: NDArray[np.int64] | None = None
    widths: tuple[int, ...] = ()
    cut: NDArray[np.bool_] = np.zeros(0, np.bool_)
    traits_type: np.dtype[Any] | None = None
    in_processes: bool = True
    in_threads: bool = False
    on_device: bool = False

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> TensorBatch:
        return self.read([(0, index)])

    def __getitems__(self, keys: Sequence[Key]) -> TensorBatch | Failure:
        """One batch, or the error that prevented it."""
        try:
            return self.read(keys)
        except ZooError as error:
            return Failure(error)

    @abstractmethod
    def read(self, keys: Sequence[Key]) -> TensorBatch:
        """One batch.

        Raises:
            ZooError: An input cannot be read.
        """


class Loader(DataLoader[TensorBatch]):
    """A ``DataLoader`` whose order and augmentation depend on the seed and the epoch alone.

    Workers persist between passes. They end when the loader is closed (``with`` does that) and
    when a batch fails.

    Attributes:
        reader: Makes the batches.
        order: The batch sampler.
        pins: Whether to pin memory; batches that are made on the device need not be pinned.
        threads: Number of threads that make batches in place of worker processes; with 0, batches
            without workers are made when they are needed.
        traits: Traits of the inputs read so far, ``(N,)`` by sample index, if the reader
            records them.
    """

    def __init__(
        self,
        reader: BatchReader,
        order: BatchOrder,
        *,
        pins: bool = False,
        threads: int = 0,
        **options: Any,
    ) -> None:
        self.reader, self.order, self.pins, self.threads = reader, order, pins, threads
        self.traits: NDArray[Any] = np.zeros(
            0 if reader.traits_type is None else len(reader.samples), reader.traits_type
        )
        how = pack if options.get("num_workers") else _unchanged
        pinned = pins and not reader.on_device
        super().__init__(reader, batch_sampler=order, collate_fn=how, pin_memory=pinned, **options)

    def set_epoch(self, epoch: int, *, start: int = 0, stride: int = 1) -> None:
        """Choose the batches of the next pass.

        Args:
            epoch: Determines the order and the augmentation.
            start: Batches to skip at the beginning.
            stride: From there on, take every ``stride``-th batch.
        """
        order = self.order
        order.epoch, order.start, order.stride = epoch, start, stride

    def names(self, indices: Sequence[int]) -> list[str]:
        """The names of the samples at ``indices``, for messages and reports."""
        return [self.reader.samples.input(index) for index in indices]

    def over(self, reader: BatchReader) -> Loader:
        """The same batches made by another reader, in this process."""
        return Loader(reader, self.order, pins=self.pins)

    def steps(self) -> Iterator[tuple[TensorBatch, int]]:
        """Batches, each with its number of samples over all processes."""
        order = self.order
        sizes = [len(batch) for batch in order.epoch_batches()[order.start :: order.stride]]
        yield from zip(self, sizes, strict=True)

    def batch(self, keys: Sequence[Key]) -> TensorBatch:
        """One batch of chosen samples, made in this process."""
        return _or_raise(self.reader.__getitems__(keys))

    def __iter__(self) -> Iterator[TensorBatch]:  # type: ignore[override]
        if self.num_workers and self._iterator is None:
            give_back()
        batches: Any = ()
        try:
            with signals_blocked(), sigchld_handler_kept():
                batches = self._made()  # starts the workers if they are not running
            for batch in batches:
                yield self._noted(_or_raise(batch))
        except GeneratorExit:  # the caller stops early and may start another pass
            raise
        except BaseException as error:
            dead = dead_worker(getattr(batches, "_workers", ()))
            self.close()
            end_workers(batches)  # those that do not persist
            if dead and isinstance(error, RuntimeError | WorkersError):
                raise dead from None
            raise

    def _made(self) -> Iterator[Any]:
        if not self.threads:
            return super().__iter__()
        return in_threads(self.reader.__getitems__, self.order, threads=self.threads)

    def _noted(self, batch: TensorBatch) -> TensorBatch:
        """Move the traits out of the batch into :attr:`traits`."""
        if self.reader.traits_type is not None:
            rows = np.ascontiguousarray(batch.pop("traits").numpy())
            self.traits[batch["index"].numpy()] = rows.view(self.reader.traits_type)[:, 0]
        return batch

    def close(self) -> None:
        """End the worker processes and the pin-memory thread; another pass starts new ones.

        Garbage collection would end them too, but an exception that is kept alive delays that.
        """
        running, self._iterator = self._iterator, None
        end_workers(running)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_loader(
    reader: BatchReader,
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    threads: int = 0,
    pin: bool = False,
    by_length: bool = True,
    drop_last: bool = False,
    share: Share = (0, 1),
    balanced: bool = False,
) -> Loader:
    """A loader of batches with the inputs, ``index`` (sample indices) and ``labels`` if known.

    Args:
        reader: Makes the batches.
        batch_size: Samples per batch; the last batch may be smaller.
        shuffle: Draw a new order every epoch (:meth:`Loader.set_epoch`).
        seed: Determines the order.
        workers: Persistent worker processes; ignored if the reader does not profit from them.
        threads: Threads that make batches instead.
        pin: Pin memory, for a GPU.
        by_length: Batch inputs of similar length together.
        drop_last: Drop an incomplete last batch.
        share: Rank and world size; each batch is divided among the processes.
        balanced: When shuffling, draw with replacement so that classes are equally likely; see
            :func:`zoo.data.balance.balanced_probabilities`. Repeated draws of an input are
            augmented differently.

    Raises:
        UsageError: ``balanced``, and the labels are not classes.
        BadFilesError: While iterating, from any process: an input cannot be read.
        WorkersError: While iterating: a worker has died, or failed to send its batch.
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
        probabilities=balanced_probabilities(samples.labels) if balanced else None,
    )
    return Loader(
        reader,
        order,
        pins=pin,
        threads=threads,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker,
        # Each pass draws a seed for the workers, by default from torch's global generator.
        generator=torch.Generator().manual_seed(seed),
    )


def _or_raise(batch: TensorBatch | Failure | Packed | Unsent | ZooError) -> TensorBatch:
    if isinstance(batch, Packed):
        return _or_raise(batch.open())
    if isinstance(batch, ZooError):
        raise batch
    if isinstance(batch, Unsent):
        raise batch_not_sent(batch.reason)
    if isinstance(batch, Failure):
        raise batch.error
    return batch


def labels_of(samples: Samples, indices: list[int]) -> TensorBatch:
    """The ``index`` of a batch, and its ``labels`` if the samples have any."""
    batch = {"index": torch.tensor(indices)}
    if samples.labels is not None:
        batch["labels"] = torch.from_numpy(samples.labels[indices])
    return batch


def _unchanged(batch: Any) -> Any:
    return batch
