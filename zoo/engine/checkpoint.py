"""Checkpoints: the tensors and progress that resuming needs, in ``last/``.

``state.safetensors`` holds the backbone, the optimiser's moments and the averaged weights, and in
its header the progress. ``best-<epoch>.safetensors`` holds the best epoch's parameters. Both are
written to temporary files and renamed, the best first, so that at any moment the state refers to
a file that exists.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from zoo.errors import RunError
from zoo.system.tensors.files import write_tensors

STATE = "state.safetensors"
_OUTPUTS = "outputs/"
MOST_OUTPUTS = 2.0**26
"""Bytes up to which the validation outputs of all epochs are kept, to tell how much choosing the
best of them flatters it."""

SAVE_SECONDS = 120.0
"""Seconds between checkpoints; longer if saving would take more than a twentieth of the time."""


@dataclass
class Progress:
    """The progress of training.

    Attributes:
        phase: Completed phases.
        epoch: Completed epochs of the current phase.
        step: Completed steps of the current epoch.
        loss: Sum of the losses of the current epoch's samples so far, over all processes.
        samples: Number of those samples.
        seconds: Time spent on the current epoch so far.
        waited: Part of it spent waiting for data.
        tokens: Tokens of the current epoch so far, with padding, in this process.
        padding: Padding among them.
        skipped: Steps of the current epoch skipped by loss scaling so far.
        skipped_in_a_row: How many of the latest steps were.
        total_seconds: Time spent on all epochs so far.
        spent: Seconds since the start of the run, while it was running.
        cuts: What a time limit decided: phase, step, and the number of steps from then on; see
            :mod:`zoo.engine.timetable`. A phase of 0 steps is left out.
        accumulate: Micro-batches per step.
        compiled: Which steps ran compiled, and why; see :mod:`zoo.engine.compile_switch`.
        history: One record per epoch, as in ``metrics.jsonl``.
        best_epoch: Counted over all phases, from 1; 0 for none.
        metrics: The best epoch's metrics.
        score: The best epoch's score; higher is better.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    tokens: int = 0
    padding: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    total_seconds: float = 0.0
    spent: float = 0.0
    cuts: list[list[int]] = field(default_factory=list)
    accumulate: int = 1
    compiled: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    score: list[float] = field(default_factory=lambda: [-math.inf])

    def next_epoch(self) -> None:
        """Reset the counters of the epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss, self.samples, self.seconds, self.waited = 0.0, 0, 0.0, 0.0
        self.tokens, self.padding, self.skipped = 0, 0, 0


@dataclass
class Best:
    """The best epoch's parameters, buffers and outputs.

    Attributes:
        state: Plain names to tensors on the CPU; empty before the first epoch.
        logits: ``(M, outputs)`` on the validation split.
        outputs: The same after every epoch, from 1; lacks epochs where they take too much memory.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    outputs: dict[int, Tensor] = field(default_factory=dict)

    def add_outputs(self, epoch: int, logits: Tensor, *, limit: float) -> None:
        """Keep the outputs after an epoch, if all of them so far take at most ``limit`` bytes."""
        if epoch * logits.numel() * logits.element_size() <= limit:
            self.outputs[epoch] = logits

    def keep(
        self, state: Mapping[str, Tensor], logits: Tensor, *, final: Container[str] = ()
    ) -> None:
        """Keep copies; tensors unchanged since the last time are not copied again.

        Args:
            state: Plain names to tensors.
            logits: The outputs with them.
            final: Names of tensors that no longer change, which are not copied at all.
        """
        self.state = {name: self._copy(name, state[name], name in final) for name in state}
        self.logits = logits

    def _copy(self, name: str, tensor: Tensor, final: bool) -> Tensor:
        now, before = tensor.detach().cpu(), self.state.get(name)
        if before is not None and torch.equal(before, now):
            return before
        return now if final else now.clone()


@dataclass(frozen=True)
class SavedState:
    """What :meth:`CheckpointStore.load` found."""

    progress: Progress
    best: Best
    tensors: Mapping[str, Tensor]

    def of(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under one prefix, by the names after it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


class CheckpointStore:
    """Saves and loads checkpoints.

    Args:
        folder: ``last/`` of a run; created with the first checkpoint.
        every: Seconds between two checkpoints; 0 saves after every step.
        writes: Whether this process writes them.
    """

    def __init__(self, folder: Path, *, every: float = SAVE_SECONDS, writes: bool = True) -> None:
        self._folder, self._every, self._writes = folder, every, writes
        self._next = time.monotonic() + every
        self._best_epoch = 0  # of the file on disk

    @property
    def saved(self) -> bool:
        """Whether there is a checkpoint."""
        return (self._folder / STATE).is_file()

    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return time.monotonic() >= self._next

    def save(self, progress: Progress, best: Best, tensors: Mapping[str, Tensor]) -> None:
        """Write the state to the folder, completely or not at all.

        Raises:
            RunError: Writing failed.
        """
        began = time.monotonic()
        if self._writes:
            try:
                self._write(progress, best, tensors)
            except OSError as error:
                resume = f"zoo finetune --resume {shlex.quote(str(self._folder.parent))}"
                earlier = f"the earlier checkpoint is intact: {resume}"
                left = earlier if self.saved else "nothing has been saved yet."
                raise RunError(
                    f"failed to save the state of the run to {self._folder}: "
                    f"{error.strerror or error}",
                    hint=f"Free disk space, or make the folder writable; {left}",
                ) from error
        took = time.monotonic() - began
        self._next = time.monotonic() + (max(self._every, 20 * took) if self._every else 0)

    def _write(self, progress: Progress, best: Best, tensors: Mapping[str, Tensor]) -> None:
        if progress.best_epoch and progress.best_epoch != self._best_epoch:
            write_tensors(self._best(progress), {**best.state, "/logits": best.logits}, {})
            self._best_epoch = progress.best_epoch
        facts = {"progress": json.dumps(asdict(progress))}
        outputs = {f"{_OUTPUTS}{epoch}": each for epoch, each in best.outputs.items()}
        write_tensors(self._folder / STATE, {**tensors, **outputs}, facts)
        for old in self._folder.glob("best-*.safetensors"):
            if old != self._best(progress):
                with suppress(OSError):
                    old.unlink()

    def load(self) -> SavedState | None:
        """The last checkpoint; ``None`` if there is none.

        Raises:
            RunError: It is damaged.
        """
        path = self._folder / STATE
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                progress = Progress(**json.loads(file.metadata()["progress"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            best = Best()
            if progress.best_epoch:
                best.state = safetensors.torch.load_file(self._best(progress))
                best.logits = best.state.pop("/logits")
            named = [name for name in tensors if name.startswith(_OUTPUTS)]
            best.outputs = {int(name[len(_OUTPUTS) :]): tensors.pop(name) for name in named}
        except (OSError, ValueError, TypeError, LookupError, safetensors.SafetensorError) as error:
            raise RunError(
                f"the state of the run in {self._folder} is damaged: {error}",
                hint=f"Remove {self._folder} to restart the run.",
            ) from error
        self._best_epoch = progress.best_epoch
        return SavedState(progress, best, tensors)

    def _best(self, progress: Progress) -> Path:
        return self._folder / f"best-{progress.best_epoch}.safetensors"
