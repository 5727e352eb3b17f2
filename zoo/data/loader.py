"""Batches in a reproducible order, whatever the number of worker processes."""

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
from zoo.data.samples import Samples
from zoo.data.worker_batches import (
    Packed,
    Unsent,
    dead_worker,
    lost,
    pack,
    sigchld_handler_kept,
)
from zoo.data.worker_processes import end_workers, signals_blocked, start_worker
from zoo.errors import WorkersError, ZooError
from zoo.system.memory import give_back

TensorBatch: TypeAlias = dict[str, Tensor]


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
        how = pack if options.get("num_workers") else _unchanged
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
        sizes = [len(batch) for batch in order.epoch_batches()[order.start :: order.stride]]
        yield from zip(self, sizes, strict=True)

    def batch(self, keys: Sequence[Key]) -> TensorBatch:
        """One batch of chosen samples, made here."""
        return _or_raise(self.reader.__getitems__(keys))

    def __iter__(self) -> Iterator[TensorBatch]:  # type: ignore[override]
        if self.num_workers and self._iterator is None:
            give_back()
        batches: Any = ()
        try:
            with signals_blocked(), sigchld_handler_kept():
                batches = super().__iter__()  # starts the workers, where they do not run
            for batch in batches:
                yield self._noted(_or_raise(batch))
        except GeneratorExit:  # whoever leaves a pass unfinished may want another
            raise
        except BaseException as error:
            dead = dead_worker(getattr(batches, "_workers", ()))
            self.close()
            end_workers(batches)  # of a pass that keeps none for the next
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
            :func:`zoo.data.balance.balanced_probabilities`. An input that is drawn again in an epoch
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
        chances=balanced_probabilities(samples.labels) if balanced else None,
    )
    return Loader(
        reader,
        order,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker,
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


def _unchanged(batch: Any) -> Any:
    return batch
