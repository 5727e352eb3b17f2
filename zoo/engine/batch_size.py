"""The batch size, measured: doubled as long as a step fits into memory and throughput rises."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo.contract.network.backbone import Backbone
from zoo.engine.forward import Forward
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.engine.trainable import choose_trained
from zoo.modalities import modality_of

USUAL = 32
"""Samples per step for which the learning rates were chosen; the first size that is measured."""

MOST = 256
"""The largest batch: beyond it accuracy suffers before throughput gains."""

MOST_TOKENS = 16_384
"""The most tokens of a batch of texts."""

MOST_FEATURES, MOST_FEATURE_TOKENS = 1024, 65_536
"""The same for the features of a frozen backbone, which do not depend on the size."""

GAIN = 1.05
"""By which factor throughput must rise when the batch doubles."""

STEPS_PER_EPOCH = 40
"""The fewest steps that an epoch should have, for batches above :data:`USUAL`."""

_WARM_UP, _TIMED = 2, 3  # steps
_SLOW = 5.0  # seconds of a step from which no larger batch is tried


@dataclass(frozen=True)
class MeasuredBatch:
    """A batch size and what it was chosen from.

    Attributes:
        size: Samples per step and process.
        speeds: Samples per second, by size; 0 where memory ran out.
    """

    size: int
    speeds: Mapping[int, float]


def largest(samples: int, backbone: Backbone) -> int:
    """The largest batch to consider, a power of two.

    Args:
        samples: Training samples of one process.
        backbone: Its input limits the tokens of a batch.
    """
    most = min(MOST, samples // STEPS_PER_EPOCH)
    if length := _tokens(backbone):
        most = min(most, MOST_TOKENS // length)
    return int(2 ** math.floor(math.log2(most))) if most > USUAL else USUAL


def _tokens(backbone: Backbone) -> int | None:
    """The most tokens of a sample; ``None`` if it is not made of tokens."""
    spec = backbone.spec
    length = modality_of(spec).largest_size(spec) if spec.input.tokens else None
    return length if isinstance(length, int) else None


def measure(
    backbone: Backbone,
    phase: Phase,
    recipe: Recipe,
    *,
    device: torch.device,
    precision: str,
    most: int,
    clock: Callable[[], float] = time.perf_counter,
) -> MeasuredBatch:
    """Train a copy of the backbone for a few steps on random inputs, in batches of several sizes.

    The smallest size is :data:`USUAL`, or the largest power of two below that fits into memory.

    Args:
        backbone: Is not changed.
        phase: Which of its parameters train.
        recipe: The hyperparameters.
        device: The device to train on.
        precision: As of :class:`zoo.engine.forward.Forward`.
        most: The largest size to try.
        clock: Seconds.
    """
    twin = copy.deepcopy(backbone)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        choose_trained(twin, phase, recipe)
        measured = _doubled(
            _TrainingTrial(Forward(twin, device=device, precision=precision), clock), most
        )
    del twin
    _free()
    return measured


def measure_features(
    forward: Forward, samples: int, clock: Callable[[], float] = time.perf_counter
) -> MeasuredBatch:
    """As :func:`measure`, for the features of a frozen backbone, which need no gradient.

    Args:
        forward: Runs the backbone.
        samples: The number of samples.
        clock: Seconds.
    """
    most = min(MOST_FEATURES, samples)
    if length := _tokens(forward.backbone):
        most = min(most, MOST_FEATURE_TOKENS // length)
    with torch.random.fork_rng(devices=[forward.device] if forward.device.type == "cuda" else []):
        measured = _doubled(_Trial(forward, clock), most)
    _free()
    return measured


def _doubled(trial: _Trial, most: int) -> MeasuredBatch:
    """Double the batch as long as it fits into memory and throughput rises."""
    speeds = dict[int, float]()
    size = best = USUAL
    while size <= most or not any(speeds.values()):
        speeds[size] = speed = trial.speed(size)
        if not speed:
            if any(speeds.values()) or size == 1:
                break
            size = best = size // 2
            continue
        if size > best and speed < GAIN * speeds[best]:
            break
        best = size
        if trial.seconds > _SLOW or size < USUAL:
            break
        size *= 2
    return MeasuredBatch(best, speeds)


class _Trial:
    """Features of random inputs."""

    def __init__(self, forward: Forward, clock: Callable[[], float]) -> None:
        self._forward, self._clock = forward, clock
        self._spec = forward.backbone.spec
        self._modality = modality_of(self._spec)
        self.seconds = 0.0

    def speed(self, size: int) -> float:
        """Samples per second in batches of ``size``; 0 if they do not fit into memory."""
        try:
            batch = self._forward.place(self._batch(size))
            for number in range(_WARM_UP + _TIMED):
                if number == _WARM_UP:
                    began = self._now()
                self._step(batch)
            self.seconds = (self._now() - began) / _TIMED
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._forward.backbone.zero_grad(set_to_none=True)
            _free()
            return 0.0
        return size / max(self.seconds, 1e-9)

    def _batch(self, size: int) -> dict[str, Tensor]:
        """Inputs of the largest shape."""
        longest = self._modality.largest_size(self._spec)
        return self._modality.random_batch(self._spec, size, size=longest)

    def _step(self, batch: Mapping[str, Tensor]) -> None:
        self._forward.features(batch)

    def _now(self) -> float:
        if self._forward.device.type != "cpu":
            torch.accelerator.synchronize()
        return self._clock()


class _TrainingTrial(_Trial):
    """Training steps of a copy, with memory for the optimiser's state."""

    def __init__(self, forward: Forward, clock: Callable[[], float]) -> None:
        super().__init__(forward, clock)
        trained = [p for p in forward.backbone.parameters() if p.requires_grad]
        self._state = [torch.empty_like(p) for p in trained for _ in range(2)]  # as of AdamW

    def _step(self, batch: Mapping[str, Tensor]) -> None:
        backbone = self._forward.backbone
        backbone.train()
        with self._forward.autocast():
            outputs = backbone(batch)
        outputs.float().square().mean().backward()
        backbone.zero_grad(set_to_none=True)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the system, has no memory left."""
    full = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return full or isinstance(error, torch.OutOfMemoryError)


def _free() -> None:
    if torch.accelerator.is_available():
        with contextlib.suppress(RuntimeError):
            torch.accelerator.empty_cache()


def with_batch_size(recipe: Recipe, size: int, given: Mapping[str, Any]) -> Recipe:
    """The recipe with batches of ``size``.

    AdamW's learning rate grows with the square root of the batch size (Malladi et al. 2022, *On the
    SDEs and Scaling Rules for Adaptive Gradient Algorithms*), unless ``given`` has one.
    """
    factor = 1.0 if given.get("lr") else math.sqrt(size / USUAL)
    return replace(recipe, batch_size=size, lr=recipe.lr * factor, fit_memory=True)


def in_words(measured: MeasuredBatch, recipe: Recipe, nouns: str) -> str:
    """The batch size, and why."""
    speeds = speeds_in_words(measured)
    return f"batches of {recipe.batch_size} {nouns}, measured ({speeds}); learning rate {recipe.lr:.2g}"


def speeds_in_words(measured: MeasuredBatch) -> str:
    """The speed of each batch size."""
    return ", ".join(
        f"{size}: {speed:,.0f}/s" if speed else f"{size}: out of memory"
        for size, speed in sorted(measured.speeds.items())
    )
