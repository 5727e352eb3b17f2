"""The frozen beginning of a network: run once, after which the rest goes on from what it gave.

Nothing in the contract says how a network's modules hang together. So one looks on: while an example
runs, it is noted which modules end before one that trains begins; the last of them is the cut. From
then on the cut gives what it is told to, the modules before it give tensors without memory, and
whether that is all that the rest needs, two examples decide: equal to the bit, or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.modalities import modality_of
from zoo.system.tensors.hooks import hooked

Batch = Mapping[str, Tensor]
Shape = tuple[int, ...]

OUTPUTS = "prefix"
"""The name of the cut's outputs in a batch: ``(B, …)``."""

_TRIES = 4  # cuts that are tried, the last one first


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The frozen beginning of a backbone.

    Attributes:
        backbone: Whose it is.
        cut: The module from whose output the rest goes on.
        before: Modules that run before it, and the shapes of their outputs on the example.
        example: The shape of the example's input.
        outputs: The cut's outputs on the example.
    """

    backbone: Backbone
    cut: nn.Module
    before: Mapping[nn.Module, Shape]
    example: Shape
    outputs: Tensor

    @property
    def fixed(self) -> int:
        """Leading dimensions that differ from batch to batch: samples, and with texts, tokens."""
        return 2 if modality_of(self.backbone.spec).ragged else 1

    @property
    def shape(self) -> Shape:
        """Of the cut's output for one image, or for one token of a text."""
        return tuple(self.outputs.shape[self.fixed :])

    def run(self, batch: Batch) -> Tensor:
        """The cut's outputs for a batch on the device. What comes after does not run."""

        def stop(_: nn.Module, output: Tensor) -> None:
            raise _Enough(output)

        try:
            with hooked([self.cut], after=stop):
                self.backbone.features(batch)
        except _Enough as enough:
            return enough.output
        raise AssertionError("the cut did not run")

    def features(self, batch: Batch) -> Tensor:
        """``(B, feature_dim)``, from a batch with ``OUTPUTS`` on the device."""
        outputs = batch[OUTPUTS]
        now = outputs.shape[: self.fixed]
        rest = {name: tensor for name, tensor in batch.items() if name != OUTPUTS}
        modality = modality_of(self.backbone.spec)
        if not modality.ragged:
            rest[modality.main_input] = _hollow((*now, *self.example[1:]), outputs)
        with self._replaced(outputs, now):
            return self.backbone.features(rest)

    @contextmanager
    def _replaced(self, outputs: Tensor, now: Shape) -> Iterator[None]:
        was = self.example[: self.fixed]
        try:
            for module, shape in self.before.items():
                module.__dict__["forward"] = _giving(_hollow(_resized(shape, was, now), outputs))
            self.cut.__dict__["forward"] = _giving(outputs)
            yield
        finally:
            for module in (self.cut, *self.before):
                module.__dict__.pop("forward", None)


@torch.no_grad()
def find_prefix(backbone: Backbone, examples: Sequence[Batch]) -> Prefix | None:
    """The frozen beginning of ``backbone``, if it has one that the rest can do without.

    Args:
        backbone: Put into evaluation mode.
        examples: Two batches on the device, of different shapes.
    """
    backbone.eval()
    example = examples[0]
    given = example[modality_of(backbone.spec).main_input]
    ended = _ended_before_training(backbone, example)
    for last in range(len(ended) - 1, max(-1, len(ended) - 1 - _TRIES), -1):
        cut, outputs = ended[last]
        before = {module: tuple(tensor.shape) for module, tensor in ended[:last]}
        prefix = Prefix(
            backbone=backbone,
            cut=cut,
            before=before,
            example=tuple(given.shape),
            outputs=outputs,
        )
        if outputs.shape[: prefix.fixed] != given.shape[: prefix.fixed]:
            continue
        if any(map(_weighs, (cut, *before))) and all(_suffices(prefix, e) for e in examples):
            return prefix
    return None


class AfterPrefix(nn.Module):
    """What comes after a prefix, with the head: from a batch with ``OUTPUTS`` to ``(B, outputs)``."""

    def __init__(self, prefix: Prefix) -> None:
        super().__init__()
        self.backbone = prefix.backbone
        self._features = prefix.features

    def forward(self, batch: Batch) -> Tensor:
        """``(B, outputs)``."""
        logits: Tensor = self.backbone.head(self._features(batch))
        return logits


class _Enough(Exception):
    """Raised at the cut, past which nothing need run."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def _ended_before_training(backbone: Backbone, example: Batch) -> list[tuple[nn.Module, Tensor]]:
    """The outermost modules that end before one with a parameter that trains begins, in order.

    Those that run more than once are left out, and those that give anything but one tensor.
    """
    net = backbone.net
    training = {m for m in net.modules() if any(p.requires_grad for p in m.parameters(False))}
    calls: Counter[nn.Module] = Counter()
    running: list[nn.Module] = []
    ended: list[tuple[nn.Module, nn.Module | None, Any]] = []
    began = False

    def before(module: nn.Module, _: Any) -> None:
        nonlocal began
        calls[module] += 1
        began = began or module in training
        if not began:
            running.append(module)

    def after(module: nn.Module, output: Any) -> None:
        if not began:
            running.pop()
            ended.append((module, running[-1] if running else None, output))

    with hooked(net.modules(), before=before, after=after):
        backbone.features(example)
    return [
        (module, output)
        for module, parent, output in ended
        if (parent is None or parent in running) and calls[module] == 1
        if isinstance(output, Tensor)
    ]


def _weighs(module: nn.Module) -> bool:
    """Whether it multiplies by a matrix, so that not to run it is worth something."""
    return any(
        parameter.ndim > 1 and not isinstance(part, nn.Embedding)
        for part in module.modules()
        for parameter in part.parameters(recurse=False)
    )


def _suffices(prefix: Prefix, example: Batch) -> bool:
    """Whether the rest gives the same features from the cut's outputs, to the bit."""
    whole = prefix.backbone.features(example)
    try:
        alone = prefix.features({**example, OUTPUTS: prefix.run(example)})
    except Exception:  # whatever a network says of a tensor without memory
        return False
    return torch.equal(whole, alone)


def _hollow(shape: Shape, like: Tensor) -> Tensor:
    """Zeros of any shape in the memory of one."""
    return torch.zeros((), dtype=like.dtype, device=like.device).expand(shape)


def _resized(shape: Shape, was: Shape, now: Shape) -> Shape:
    """``shape`` where the leading dimensions that were ``was`` are ``now``."""
    leading = [
        new if size == old else size for size, old, new in zip(shape, was, now, strict=False)
    ]
    return (*leading, *shape[len(leading) :])


def _giving(tensor: Tensor) -> Callable[..., Tensor]:
    return lambda *_, **__: tensor
