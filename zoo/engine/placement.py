"""Where batches are made and augmented: on the device, from decoded inputs, or in worker processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from zoo.contract.extensions import AugmentationSpec
from zoo.data.batch_order import Key
from zoo.data.loader import BatchReader, Loader
from zoo.data.samples import Samples
from zoo.engine.batch_size import is_out_of_memory
from zoo.engine.progress import Reporter
from zoo.errors import UsageError
from zoo.modalities.batches import Placing
from zoo.registry.offers import Offer
from zoo.system.byte_sizes import in_bytes
from zoo.system.memory import available_bytes

SHARE = 0.4
"""The largest share of the free memory, of the device or else of the host, that inputs may take. A
copy of them exists while they are put together."""

DEVICE, WORKERS, AUTO = "device", "workers", "auto"
"""Values of ``--augment-on``."""


@dataclass(frozen=True)
class Placement:
    """Where batches are made.

    Attributes:
        augment_on: ``device`` or ``workers``.
        memory: Where decoded inputs are: ``device`` or ``host``; empty if they are not kept.
        inputs: How many are kept.
        bytes: The memory that they take.
        reason: Why they are not kept, where that is not the default.
        streamed: Whether the device decodes them in each epoch.
        speeds: Inputs per second that the device and the workers make ready, if that was measured.
    """

    augment_on: str = WORKERS
    memory: str = ""
    inputs: int = 0
    bytes: int = 0
    reason: str = ""
    streamed: bool = False
    speeds: Mapping[str, float] = field(default_factory=dict)

    def in_words(self, nouns: str, device: torch.device) -> str:
        """One line for the user; empty if there is nothing to say."""
        speeds = [f"{name}: {speed:,.0f}/s" for name, speed in self.speeds.items()]
        measured = f", measured ({', '.join(speeds)})" if speeds else ""
        if self.streamed:
            return f"data: {nouns} decoded on the device in every epoch{measured}"
        if speeds:
            return f"data: {nouns} decoded in workers{measured}"
        if not self.memory:
            return f"data: {nouns} are augmented in workers, since {self.reason}" * bool(
                self.reason
            )
        where = "on the device" if self.memory == DEVICE else "in memory"
        if self.memory != DEVICE and device.type != "cpu":
            where = "in pinned memory"
        return f"data: {self.inputs:,} {nouns} decoded {where}, {in_bytes(self.bytes)}"

    def to_json(self) -> dict[str, Any]:
        """For ``run.json``."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What decides about the placement.

    Attributes:
        asked: ``auto``, ``device`` or ``workers``.
        device: The device of the network.
        epochs: Passes over augmented inputs in which the backbone trains.
        views: Augmented views of each input for a frozen backbone.
        augment: Further augmentation.
        processes: Processes on this machine, each of which keeps its own copy.
        streamed: Whether the run decoded on the device when it started, to resume or repeat it.
    """

    asked: str
    device: torch.device
    epochs: int
    views: int
    augment: Offer[AugmentationSpec] | None
    processes: int = 1
    streamed: bool = False


def choose_placement(
    wanted: Wanted,
    placing: Placing | None,
    train: Samples,
    val: Samples,
    *,
    speeds: Callable[[], Mapping[str, float]] = dict,
    free: Callable[[torch.device], int] | None = None,
) -> Placement:
    """Decide where batches are made. ``auto`` is the device if that is an accelerator and it pays.

    Inputs that do not fit into memory are decoded in every epoch, wherever that is faster.

    Args:
        wanted: What decides.
        placing: The modality's, if it can.
        train: Training samples.
        val: Validation samples.
        speeds: Measures :attr:`Placement.speeds`; empty if the device cannot decode.
        free: The free memory of a device in bytes; measured by default.

    Raises:
        UsageError: ``device`` is asked for, and not possible.
    """
    default = DEVICE if _pays(wanted) else WORKERS
    where = default if wanted.asked == AUTO else wanted.asked
    if where == WORKERS or placing is None:
        return Placement()
    reason = placing.obstacle(train, wanted.augment) or placing.obstacle(val, None)
    if not wanted.epochs and not wanted.views:
        reason = "nothing is augmented: the backbone is frozen"
    if not reason and wanted.streamed:
        return Placement(DEVICE, streamed=True)
    if not reason:
        size, count = placing.estimated_bytes(train, val), len(train) + len(val)
        measured = free or free_bytes
        if wanted.device.type != "cpu" and size <= SHARE * measured(wanted.device):
            return Placement(DEVICE, DEVICE, count, size)
        host = measured(torch.device("cpu")) / wanted.processes
        if size <= SHARE * host:
            return Placement(DEVICE, "host", count, size)
        reason = f"they would take {in_bytes(size)}, and {in_bytes(host)} of memory are free"
        if found := speeds():
            fastest = max(found, key=found.__getitem__)
            chosen = fastest if wanted.asked == AUTO else DEVICE
            return Placement(chosen, reason=reason, streamed=chosen == DEVICE, speeds=found)
    if wanted.asked == DEVICE:
        raise UsageError(
            f"--augment-on device is not possible: {reason}",
            hint="Use --augment-on workers, or leave the option out.",
        )
    return Placement(reason=reason)


def _pays(wanted: Wanted) -> bool:
    """Whether ``auto`` is the device: a pass decodes everything, so a single one gains nothing."""
    return wanted.device.type != "cpu" and wanted.epochs > 1 and not wanted.views


def place(
    placement: Placement,
    placing: Placing,
    train: Samples,
    val: Samples,
    *,
    device: torch.device,
    plain: Callable[[Samples], Loader],
    reporter: Reporter,
) -> tuple[Samples, Samples, Placement]:
    """Decode both splits into memory; returns them, and the placement with its size.

    Args:
        placement: Says where.
        placing: Decodes.
        train: Training samples.
        val: Validation samples.
        device: Where batches are made.
        plain: Makes batches of samples that are not augmented.
        reporter: Receives progress and one note.

    Raises:
        BadFilesError: An input cannot be read.
    """
    on_host = placement.memory != DEVICE
    try:
        with reporter.steps("decoding", len(train)) as advance:
            placed = placing.placed(train, device, on_host=on_host, advance=advance)
        with plain(val) as loader:
            prepared = placing.prepared(val, loader, device, on_host=on_host)
    except RuntimeError as error:  # such as memory in pieces, or taken by another process
        if on_host or not is_out_of_memory(error):
            raise
        host = replace(placement, memory="host")
        return place(host, placing, train, val, device=device, plain=plain, reporter=reporter)
    size = sum(samples.inputs.nbytes for samples in (placed, prepared))  # type: ignore[attr-defined]
    placement = replace(placement, bytes=size)
    reporter.note(placement.in_words(train.kind.nouns, device))
    return placed, prepared, placement


def measured_speeds(
    batches: Sequence[Sequence[Key]],
    device: BatchReader,
    workers: BatchReader,
    *,
    processes: int,
    wait: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Inputs per second, as of :attr:`Placement.speeds`; empty if the device cannot decode.

    Args:
        batches: Some to make, the first one not timed.
        device: Makes them on the device.
        workers: Makes them in this process, as one worker would.
        processes: The workers beside each other.
        wait: Waits for the device.
        clock: Seconds.
    """

    def seconds(reader: BatchReader) -> float:
        reader.read(batches[0])
        wait()
        began = clock()
        for keys in batches[1:]:
            reader.read(keys)
        wait()
        return max(clock() - began, 1e-9)

    count = sum(map(len, batches[1:]))
    try:
        on_device = count / seconds(device)
    except RuntimeError:  # a build of torchvision without nvJPEG, or memory that runs out
        return {}
    return {DEVICE: on_device, WORKERS: processes * count / seconds(workers)}


def free_bytes(device: torch.device) -> int:
    """The memory that training leaves free, of an accelerator or of the host, as far as is known.

    The most that this process has used so far, such as in measuring the batch size, is not counted
    as free: training takes it again.
    """
    if device.type != "cpu":
        with contextlib.suppress(RuntimeError, NotImplementedError, AttributeError):
            free, _ = torch.accelerator.get_memory_info(device)
            most = torch.accelerator.max_memory_allocated(device)
            return max(0, int(free + torch.accelerator.memory_reserved(device) - most))
        return 0  # unknown, or the host's, as on Apple's
    return available_bytes()
