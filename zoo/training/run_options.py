"""Options of a fine-tune that do not change its result, and its processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from accelerate import Accelerator

from zoo.data.memory.source import DataSource
from zoo.data.samples import Splits
from zoo.engine.checkpoint import SAVE_SECONDS
from zoo.engine.device import choose_device
from zoo.engine.progress import Quiet, Reporter
from zoo.engine.surgery import Surgery
from zoo.engine.trackers import refuse_tracker
from zoo.engine.user_network.network import OwnNetwork
from zoo.registry.registry import Registry
from zoo.runs.request import Request
from zoo.system.parts import Parts


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a fine-tune that do not change its result.

    Attributes:
        surgery: The function that the request names, which modifies the backbone before training.
        network: The user's own network, if no plugin has it.
        save_every: Seconds between two checkpoints.
        track: Name of an Accelerate tracker, or ``None``.
        report: Whether to write ``report.html`` at the end.
        data: The data in memory that the request names; ``None`` for a path.
        registry: Names and plugins.
        reporter: Receives header, notes and epochs.
        merged: The data of a cross-validation, which its folds share; ``None`` to open it.
        parts: Counts the seconds by part.
        profile: Whether to report them at the end.
    """

    registry: Registry
    reporter: Reporter
    surgery: Surgery | None = None
    network: OwnNetwork | None = None
    save_every: float = SAVE_SECONDS
    track: str | None = None
    report: bool = True
    data: DataSource = None
    merged: Splits | None = None
    parts: Parts = field(default_factory=Parts)
    profile: bool = False


def accelerator_for(request: Request, options: RunOptions) -> Accelerator:
    """The processes: one, or those started by 'accelerate launch' or torchrun."""
    device = choose_device(request.device)
    refuse_tracker(options.track)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        log_with=options.track,
        project_dir=".",
        device_placement=False,  # Forward places the network; Accelerate imports DTensor to ask
    )
    if accelerator.num_processes == 1 and device.type != "cpu":
        accelerator.state.device = device  # Accelerate would use the first
    return accelerator


def for_process(options: RunOptions, accelerator: Accelerator) -> RunOptions:
    """The options for this process: only the first one reports."""
    return options if accelerator.is_main_process else replace(options, reporter=Quiet())
