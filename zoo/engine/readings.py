"""The losses and gradient norms of the latest steps, read from the device together.

A step leaves its loss and gradient norm on the device. To read them the host has to wait until the
device has finished, so they are read about once a second, and before anything is saved, validated
or ended: what is not finite is found before a checkpoint or a result could hold it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.engine.break_even import Timing
from zoo.engine.checkpoint import Progress
from zoo.engine.sources import Step
from zoo.engine.strategies import Phase
from zoo.engine.streams import Pace
from zoo.engine.training_setup import TrainingSetup
from zoo.errors import RunError

READ_SECONDS = 1.0
"""Time between two readings, as far as :data:`READ_STEPS` allows."""

READ_STEPS = 32
"""Most steps between two readings."""

MOST_SKIPPED = 20
"""Consecutive steps that loss scaling may skip. It halves the scale each time, from 65,536: after
these the gradient is not finite without any."""

_NAMED = 32  # samples listed in an error


class StepResult(NamedTuple):
    """What a step leaves on the device.

    Attributes:
        loss: ``()``, the sum of the losses of this process's samples.
        norm: ``()``, the gradient norm before clipping.
    """

    loss: Tensor
    norm: Tensor


@dataclass(frozen=True)
class _Taken:
    """A step that has not been read yet."""

    result: StepResult
    number: int  # in the epoch, from 1
    indices: Tensor
    features: Tensor | None


class Readings:
    """Reads the results of the steps of a phase, and adds them to the progress.

    With several processes the losses are summed over them, and they agree on whether to stop or
    to save, at the readings only; these come after the same steps in each.

    Args:
        setup: Everything that the phases share.
        phase: The phase, for messages.
        progress: Its counters are updated.
    """

    def __init__(self, setup: TrainingSetup, phase: Phase, progress: Progress) -> None:
        self._setup, self._phase, self._progress = setup, phase, progress
        self._scaled = setup.forward.scaled
        self._alone = setup.accelerator.num_processes == 1
        self._taken: list[_Taken] = []
        self._most = 1  # steps until the next reading
        self._last = time.perf_counter()
        self.pace = Pace(setup.forward.device)
        self.latest = Timing(0, 0.0, 0.0)
        """The steps of the latest reading."""

    def begin(self) -> None:
        """Begin to measure the time of an epoch, or of what is left of one."""
        self._last = time.perf_counter()

    def add(self, step: Step, result: StepResult) -> None:
        """Add a step that has been queued on the device."""
        progress = self._progress
        progress.step += 1
        progress.samples += step.samples
        features = step.inputs if isinstance(step.inputs, Tensor) else None
        self._taken.append(_Taken(result, progress.step, step.indices, features))

    def due(self) -> bool:
        """Whether it is time to read."""
        requested = self._stop_asked() or self._setup.checkpoints.due()
        return len(self._taken) >= self._most or (self._alone and requested)

    def read_after(self, steps: int) -> None:
        """Have the next reading after at most so many steps."""
        self._most = min(self._most, steps)

    def read(self) -> tuple[bool, bool]:
        """Read the results, waiting for the device; every process must call it after the same step.

        Returns:
            Whether to stop, and whether to save.

        Raises:
            RunError: A loss or a gradient is not finite.
        """
        if not self._taken:
            return False, False
        taken, self._taken = self._taken, []
        results = [each.result for each in taken]
        losses, norms = torch.stack(
            [
                torch.stack([result.loss for result in results]),
                torch.stack([result.norm for result in results]),
            ]
        ).tolist()
        self._count_time(len(taken))
        losses, stop, save = self._shared(losses)
        for each, loss, norm in zip(taken, losses, norms, strict=True):
            self._refuse_not_finite(each, "loss", loss)
            if self._scaled:
                self._count_skipped(each, norm)
            else:
                self._refuse_not_finite(each, "gradient", norm)
            self._progress.loss += loss
        return stop, save

    def _count_time(self, steps: int) -> None:
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        self.latest = Timing(steps, spent, self.pace.idle())
        self._progress.seconds += spent
        self._progress.waited += self.latest.waited
        self._most = max(1, min(READ_STEPS, int(READ_SECONDS * steps / max(spent, 1e-9))))

    def _stop_asked(self) -> bool:
        return self._setup.interrupts.received is not None

    def _shared(self, losses: list[float]) -> tuple[list[float], bool, bool]:
        """The losses summed over all processes, whether to stop, and whether to save."""
        accelerator, stop = self._setup.accelerator, self._stop_asked()
        due = accelerator.is_main_process and self._setup.checkpoints.due()
        if self._alone:
            return losses, stop, due
        most = self._most if accelerator.is_main_process else 0
        local = torch.tensor(
            [*losses, stop, due, most], dtype=torch.float64, device=accelerator.device
        )
        *total, stops, saves, most = accelerator.reduce(local, reduction="sum").tolist()
        self._most = int(most)
        if stops:
            self._setup.interrupts.elsewhere()
        return total, stops > 0, saves > 0

    def _count_skipped(self, taken: _Taken, norm: float) -> None:
        """Count a step that loss scaling skipped; some in a row are an error."""
        progress = self._progress
        if math.isfinite(norm):
            progress.skipped_in_a_row = 0
            return
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if progress.skipped_in_a_row >= MOST_SKIPPED:
            self._refuse_not_finite(taken, "gradient", norm)

    def _refuse_not_finite(self, taken: _Taken, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        row = self._progress.skipped_in_a_row
        again = f", as in the {row - 1} steps before" if row > 1 and what == "gradient" else ""
        raise RunError(
            f"the {what} became {value} in step {taken.number} of epoch "
            f"{self._progress.epoch + 1} of phase {self._phase.name!r}{again}"
            f"{self._in_words(taken)}",
            hint="Check these samples and their labels; then try a smaller --lr or "
            "--precision fp32.",
        )

    def _in_words(self, taken: _Taken) -> str:
        """The samples of the step, or those whose features are not finite."""
        indices, description = taken.indices, "with the samples"
        if taken.features is not None:
            bad = (~taken.features.isfinite().all(dim=1)).cpu()
            if bad.any():
                indices = indices[bad]
                description = "where these samples have features that are not finite:"
        names = self._setup.dataloaders.train.names(indices[:_NAMED].tolist())
        more = ", …" if len(indices) > _NAMED else ""
        return f", {description} {', '.join(names)}{more}"
