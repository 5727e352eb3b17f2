"""One fine-tune from request to run folder; and a range test of learning rates."""

from __future__ import annotations

import datetime
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from zoo.engine.checkpoint import Keeper
from zoo.engine.compiled import compiling
from zoo.engine.find_lr import Curve, find_lr
from zoo.engine.interrupts import Interrupts
from zoo.engine.surgery import sha256_of_code
from zoo.errors import Stopped
from zoo.runs.folder import (
    LAST,
    begin_run,
    claim_folder,
    claimed,
    discard_run,
    locked,
    refuse_existing,
)
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.curve import write_curve
from zoo.training.manner import Manner, accelerator_for, for_process
from zoo.training.plan import make_plan
from zoo.training.train import finished_run, opening_of, setting_of, train

_LONGEST = 60  # characters of a backbone's name in that of its run folder; of any, up to 4 bytes


def run(request: Request, output: Path | None, manner: Manner) -> Run:
    """Carry out ``request``.

    Raises:
        ZooError: Anything that the user can put right. Before training starts nothing has been
            written then; after that the run can be resumed if its state has been saved.
        Stopped: By a signal; the run can be resumed.
    """
    accelerator = accelerator_for(request, manner)
    main = accelerator.is_main_process
    if main and output:
        refuse_existing(output)
    manner = for_process(manner, accelerator)
    with torch.random.fork_rng(), compiling(request.compile) as compiler:
        plan = make_plan(request, manner, accelerator, compiler)
        record = {
            "created": _now(),
            **opening_of(plan, manner.registry),
            "surgery_sha256": sha256_of_code(manner.surgery),
            "track": manner.track,
        }
        interrupts = Interrupts(tells=main)
        with interrupts.noted():  # from before the folder is there, so that it can be resumed
            name = _short(request.backbone)
            folder, above = claim_folder(output, name) if main else (Path(), ())
            folder = _agreed(folder)
            with locked(folder, main):
                try:
                    if main:
                        begin_run(folder, record)
                    evaluated = train(folder, plan, record, manner, accelerator, interrupts)
                except Stopped:
                    raise
                except Exception:
                    if main and not Keeper(folder / LAST).saved:
                        discard_run(folder, above)  # nothing of it was saved, and nothing is left
                    raise
                del plan
                return finished_run(folder, evaluated, manner, accelerator)


def find_rate(request: Request, output: Path | None, manner: Manner) -> tuple[Path, Curve]:
    """Measure which learning rate suits the last phase of ``request``, and keep the curve.

    Returns:
        The folder with ``rates.json`` and ``rates.png``, and the curve.

    Raises:
        ZooError: As :func:`run`.
    """
    if output:
        refuse_existing(output)
    accelerator = accelerator_for(request, manner)
    interrupts = Interrupts(tells=accelerator.is_main_process)
    with torch.random.fork_rng(), compiling(request.compile) as compiler:
        plan = make_plan(request, manner, accelerator, compiler)
        with claimed(output, f"{_short(request.backbone)}-rates") as folder:
            setting = setting_of(plan, manner, accelerator, Keeper(folder / LAST), interrupts)
            curve = find_lr(setting, plan.phases[-1])
            write_curve(folder, curve)
    return folder, curve


def _agreed(folder: Path) -> Path:
    """The folder that the first process has chosen."""
    agreed = [str(folder)]
    broadcast_object_list(agreed)
    return Path(agreed[0])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _short(name: str) -> str:
    """A folder's name for a backbone's: its last part, with nothing that a path would mean."""
    last = name.rstrip("/").rpartition("/")[2][:_LONGEST] or "run"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in last).strip(".") or "run"
