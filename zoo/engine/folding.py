"""Folds batch normalisations into the convolutions before them, for inference.

``BatchNorm(conv(x))`` with fixed statistics is a convolution with other weights. Hooks find which
normalisation follows which convolution, so that it works with networks of any library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from zoo.system.tensors.hooks import hooked

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]

_TOLERANCE = 1e-3


def find_pairs(net: nn.Module, run: Callable[[], Tensor]) -> list[Pair]:
    """Convolutions of ``net`` whose output goes only to a batch normalisation.

    Hooks cannot see whether anything else reads the output; so the pairs are folded once, and kept
    only if the outputs of the network stay the same.

    Args:
        net: In evaluation mode.
        run: Runs it on an example, in float32.
    """
    pairs = _following(net, run)
    if not pairs:
        return []
    plain = run()
    with folded(pairs):
        error = (run() - plain).abs().max()
    return pairs if bool(error <= _TOLERANCE * plain.abs().max()) else []


@contextmanager
def folded(pairs: Sequence[Pair]) -> Iterator[None]:
    """Fold the normalisations into the convolutions while the block runs."""
    kept = [(conv.weight.data, conv.bias) for conv, _ in pairs]
    try:
        for conv, norm in pairs:
            _fold(conv, norm)
        yield
    finally:
        for (conv, norm), (weight, bias) in zip(pairs, kept, strict=True):
            conv.weight.data, conv.bias = weight, bias
            norm.__dict__.pop("forward", None)


def _following(net: nn.Module, run: Callable[[], Tensor]) -> list[Pair]:
    outputs: dict[
        int, tuple[nn.Conv2d, Tensor]
    ] = {}  # keeps the tensors alive, so that ids are unique
    calls: Counter[nn.Module] = Counter()
    pairs: list[Pair] = []

    def after(module: nn.Module, output: Tensor) -> None:
        calls[module] += 1
        outputs[id(output)] = (module, output)  # type: ignore[assignment]

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[module] += 1
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], module))  # type: ignore[arg-type]

    convolutions = [module for module in net.modules() if type(module) is nn.Conv2d]
    norms = [module for module in net.modules() if _fixed(module)]
    with hooked(convolutions, after=after), hooked(norms, before=before):
        run()
    return [pair for pair in pairs if all(calls[module] == 1 for module in pair)]


def _fixed(module: nn.Module) -> bool:
    """Whether it is a plain BatchNorm2d with running statistics; a subclass may do more."""
    return type(module) is nn.BatchNorm2d and module.running_mean is not None


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        *(conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps),
        *(norm.weight, norm.bias),
    )
    conv.weight.data = weight.data.contiguous(memory_format=_layout(conv.weight))
    conv.bias = nn.Parameter(bias.data, requires_grad=False)
    norm.__dict__["forward"] = _identity


def _layout(tensor: Tensor) -> torch.memory_format:
    last = torch.channels_last
    return last if tensor.is_contiguous(memory_format=last) else torch.contiguous_format


def _identity(x: Tensor) -> Tensor:
    return x
