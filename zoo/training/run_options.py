"""How a fine-tune is carried out, and in which processes; none of it changes what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelerate import Accelerator

from zoo.engine.checkpoint import SAVE_SECONDS
from zoo.engine.device import choose_device
from zoo.engine.progress import Quiet, Reporter
from zoo.engine.surgery import Surgery
from zoo.engine.trackers import refuse_tracker
from zoo.registry.registry import Registry
from zoo.runs.request import Request


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a fine-tune is carried out; none of it changes what comes of it.

    Attributes:
        surgery: Changes the backbone before it trains; the request has its name.
        save_every: Seconds between two saves of the state.
        track: A tracker of Accelerate's, or ``None``.
        report: Whether the finished run gets its ``report.html``.
        registry: Names and plugins.
        reporter: Sees what happens.
    """

    registry: Registry
    reporter: Reporter
    surgery: Surgery | None = None
    save_every: float = SAVE_SECONDS
    track: str | None = None
    report: bool = True


def accelerator_for(request: Request, options: RunOptions) -> Accelerator:
    """One process, or those that 'accelerate launch' or torchrun has started."""
    device = choose_device(request.device)
    refuse_tracker(options.track)
    accelerator = Accelerator(cpu=device.type == "cpu", log_with=options.track, project_dir=".")
    if accelerator.num_processes == 1 and device.type != "cpu":
        accelerator.state.device = device  # Accelerate knows one device a process, the first
    return accelerator


def for_process(options: RunOptions, accelerator: Accelerator) -> RunOptions:
    """Of several processes the first alone speaks."""
    return options if accelerator.is_main_process else replace(options, reporter=Quiet())
