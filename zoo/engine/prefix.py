"""Run the frozen first layers of a network once, and the rest of it from their cached outputs.

The contract does not state in which order a network's modules run, so this is observed on an example:
of the modules that finish before the first trained module starts, the last one is the cut. When the
rest is run, the cut returns the cached outputs, and the modules before it return zeros that take no
memory. The prefix is used only if the features of two examples are then identical, bit for bit.
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
        backbone: The backbone.
        cut: The module whose output is the input of the rest.
        before: Modules that run before it, and the shapes of their outputs for the example.
        example: The shape of the example's input.
        outputs: The cut's outputs for the example.
    """

    backbone: Backbone
    cut: nn.Module
    before: Mapping[nn.Module, Shape]
    example: Shape
    outputs: Tensor

    @property
    def fixed(self) -> int:
        """Leading dimensions that differ between batches: samples and, for texts, tokens."""
        return 2 if modality_of(self.backbone.spec).ragged else 1

    @property
    def shape(self) -> Shape:
        """Shape of the cut's output for one image, or for one token of a text."""
        return tuple(self.outputs.shape[self.fixed :])

    def run(self, batch: Batch) -> Tensor:
        """Return the cut's outputs for a batch on the device; later layers do not run."""

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
    """Find the frozen first layers of ``backbone``, if the rest can run from their outputs alone.

    Args:
        backbone: The backbone; it is set to evaluation mode.
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
    """The layers after a prefix, with the head: from a batch with ``OUTPUTS`` to ``(B, outputs)``."""

    def __init__(self, prefix: Prefix) -> None:
        super().__init__()
        self.backbone = prefix.backbone
        self._features = prefix.features

    def forward(self, batch: Batch) -> Tensor:
        """``(B, outputs)``."""
        logits: Tensor = self.backbone.head(self._features(batch))
        return logits


class _Enough(Exception):
    """Raised at the cut, after which nothing has to run."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def _ended_before_training(backbone: Backbone, example: Batch) -> list[tuple[nn.Module, Tensor]]:
    """Return the outermost modules that finish before the first trained module starts, in order.

    Modules that run more than once, or do not return a single tensor, are excluded.
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
    """Whether a module contains a matrix multiplication, so that skipping it saves time."""
    return any(
        parameter.ndim > 1 and not isinstance(part, nn.Embedding)
        for part in module.modules()
        for parameter in part.parameters(recurse=False)
    )


def _suffices(prefix: Prefix, example: Batch) -> bool:
    """Whether the rest computes identical features from the cut's outputs, bit for bit."""
    whole = prefix.backbone.features(example)
    try:
        alone = prefix.features({**example, OUTPUTS: prefix.run(example)})
    except Exception:  # whatever a network says of a tensor without memory
        return False
    return torch.equal(whole, alone)


def _hollow(shape: Shape, like: Tensor) -> Tensor:
    """Return zeros of any shape that take the memory of a single number."""
    return torch.zeros((), dtype=like.dtype, device=like.device).expand(shape)


def _resized(shape: Shape, was: Shape, now: Shape) -> Shape:
    """Replace the leading dimensions ``was`` of ``shape`` by ``now``."""
    leading = [
        new if size == old else size for size, old, new in zip(shape, was, now, strict=False)
    ]
    return (*leading, *shape[len(leading) :])


def _giving(tensor: Tensor) -> Callable[..., Tensor]:
    return lambda *_, **__: tensor
