"""``--compile``: what ``torch.compile`` makes quicker, and whether that repays the compiling.

Two things are compiled: the steps of a phase that trains the backbone, and the features of a frozen
one over the training split. All else runs as it is, validation too, so that a later evaluation of
a run agrees to the last digit. What was compiled is kept in ``<cache>/compiled`` for the next run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.backbone import Backbone
from zoo.engine.compiled import quickened
from zoo.engine.feed import PLAIN_BATCH
from zoo.engine.forward import Forward
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.errors import UsageError

LEAST_SECONDS = 600.0
"""Of plain computing, below which ``auto`` does not try: on a CPU, features in float32 repaid the
compiling after three minutes of a ResNet-18, and after nine and a half of a MiniLM."""

_FEWEST = 5_000  # samples, below which nothing is timed
_ROUGH = 16  # samples a batch, for a first look
_TOKENS = 64  # of a text that is timed
_TIMES = 3


@dataclass(frozen=True)
class Work:
    """What a fine-tune computes.

    Attributes:
        trained: Samples that pass forwards and backwards, over all epochs that may be compiled.
        batch: Of them a step.
        inferred: Samples whose features are computed once.
    """

    trained: int
    batch: int
    inferred: int

    @classmethod
    def of(cls, phases: Sequence[Phase], recipe: Recipe, samples: int) -> Work:
        """That of the phases over ``samples`` training samples."""
        whole = [phase for phase in phases if phase.trains_backbone and not phase.gradual]
        epochs = sum(phase.epochs for phase in whole)
        heads = any(not phase.trains_backbone for phase in phases)
        return cls(
            trained=epochs * samples,
            batch=recipe.batch_size,
            inferred=max(1, recipe.cached_views) * samples if heads else 0,
        )


def resolve_compile(
    wish: str,
    forward: Forward,
    work: Work,
    reporter: Reporter,
    *,
    least: float = LEAST_SECONDS,
) -> bool:
    """Whether to compile.

    ``auto`` leaves training in float32 on a CPU as it is, where compiled steps were found no faster
    (``benchmarks/README.md``). Else it tries, if there is enough to compute: it times the network
    as it is and compiled, and compiles if the time won is more than the compiling takes.

    Args:
        wish: ``auto``, ``on`` or ``off``.
        forward: Runs the backbone, which stays as it is.
        work: What there is to compute.
        reporter: Is told what was found.
        least: Seconds of computing that ``auto`` tries it for.

    Raises:
        UsageError: ``on``, and the network cannot be compiled here.
    """
    if wish == "off" or not work.trained + work.inferred:
        return False
    if wish == "auto" and forward.backbone.unpadded:
        return False  # how many parts a batch has depends on its values, which cannot be compiled
    if wish == "on":
        Trial(forward, work).compile()
        return True
    slow = forward.device.type == "cpu" and forward.precision == "fp32"
    if work.trained + work.inferred < _FEWEST or (slow and work.trained):
        return False
    if Trial(forward, work, size=_ROUGH).seconds() < least:
        return False
    trial = Trial(forward, work)
    plain = trial.seconds()
    try:
        cost = trial.compile()
    except UsageError as error:
        reporter.note(f"{error.message}; it runs as it is")
        return False
    quick = trial.seconds()
    reporter.note(
        f"compiled in {cost:.0f} s, {plain / quick:.2f} times as fast: "
        f"{plain / 60:.0f} minutes as it is, {quick / 60:.0f} compiled"
    )
    return quick + cost < plain


def settle_precision(wish: str, forward: Forward, reporter: Reporter, *, trains: bool) -> None:
    """Try bfloat16 on two samples, a text padded; where ``auto`` chose it in vain, take float32.

    Args:
        wish: As of the request.
        forward: Its precision may change.
        reporter: Is told so.
        trains: Whether the backbone trains, and gradients must be finite too.

    Raises:
        UsageError: ``bf16`` was asked for, and the network cannot.
    """
    if forward.precision != "bf16" or not (reason := _fault_in_bf16(forward, trains=trains)):
        return
    name = forward.backbone.spec.name
    if wish == "bf16":
        raise UsageError(
            f"{name} cannot compute in bfloat16: {reason}",
            hint="Leave it out: --precision fp32",
        )
    forward.precision = "fp32"
    reporter.note(f"{name} cannot compute in bfloat16 ({reason}); it computes in fp32")


def _fault_in_bf16(forward: Forward, *, trains: bool) -> str:
    """What goes wrong forwards, or backwards where it trains; empty where nothing does.

    In evaluation mode, so that no statistics move and no random numbers are drawn.
    """
    backbone = forward.backbone.eval()
    batch = dict(_example(backbone, 2))
    if backbone.spec.modality == "text":
        rest = batch["attention_mask"].shape[1] // 2
        batch["attention_mask"][1, rest:] = 0
        batch["input_ids"][1, rest:] = backbone.spec.text_input.pad_id
    parameters = [p for p in backbone.net.parameters() if p.requires_grad]
    try:
        with torch.set_grad_enabled(trains), forward.autocast():
            features = backbone.features(forward.place(batch)).float()
        made = [features]
        if trains and features.requires_grad:
            features.square().sum().backward()  # type: ignore[no-untyped-call]
            made += [p.grad for p in parameters if p.grad is not None]
        numbers = all(bool(torch.isfinite(tensor).all()) for tensor in made)
        return "" if numbers else "what it gives is not finite"
    except RuntimeError as error:  # e.g. a mask of float32's smallest number, which overflows
        return (str(error).splitlines() or ["?"])[0]
    finally:
        for parameter in parameters:
            parameter.grad = None


class Trial:
    """A copy of the backbone that computes made-up batches, as it is or compiled.

    Args:
        forward: Runs the backbone, which stays as it is.
        work: What there is to compute: steps of training if there are any, else features.
        size: Samples a batch; that of the work by default.
    """

    def __init__(self, forward: Forward, work: Work, *, size: int = 0) -> None:
        self._forward = forward
        self._trains = work.trained > 0
        self._samples = work.trained or work.inferred
        self._size = size or (work.batch if self._trains else PLAIN_BATCH)
        backbone = copy.deepcopy(forward.backbone)
        if self._trains:
            backbone.unfreeze()
        self._model: nn.Module = backbone.train(self._trains)
        self._call: Callable[[Any], Tensor] = backbone if self._trains else backbone.features
        self._batch = forward.place(_example(backbone, self._size))

    def compile(self) -> float:
        """Compile; gives the seconds that it took."""
        dynamic = self._forward.dynamic
        self._call = quickened(self._call, dynamic=dynamic, frozen=not self._trains)
        return self._once()

    def seconds(self) -> float:
        """What all of the work would take."""
        self._once()
        fastest = min(self._once() for _ in range(_TIMES))
        return fastest / self._size * self._samples

    def _once(self) -> float:
        with torch.random.fork_rng(), torch.inference_mode(not self._trains):
            started = time.perf_counter()
            with self._forward.autocast():
                made = self._call(self._batch)
            if self._trains:
                made.float().square().sum().backward()  # type: ignore[no-untyped-call]
                self._model.zero_grad()
            if self._forward.device.type != "cpu":
                torch.accelerator.synchronize()
            return time.perf_counter() - started


def _example(backbone: Backbone, size: int) -> Mapping[str, Tensor]:
    """A batch that the backbone takes, of no meaning."""
    generator = torch.Generator().manual_seed(0)
    if backbone.spec.modality == "image":
        side = backbone.spec.image_input.size
        return {"pixel_values": torch.randn(size, 3, side, side, generator=generator)}
    shape = (size, min(_TOKENS, backbone.spec.text_input.max_length))
    ones = torch.ones(shape, dtype=torch.long)
    return {"input_ids": ones, "attention_mask": ones.clone()}
