"""Select parameters to freeze, and modules that stay in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.stages import Stages, lies_under


def chosen(
    parameters: Iterable[str], stages: Stages, layers: Sequence[str], names: Sequence[str]
) -> set[str]:
    """Return the parameters in the layers or stages; all if neither is given.

    Raises:
        StageError: There is no such layer.
    """
    paths = list(parameters)
    found = set() if layers or names else set(paths)
    found |= {path for path in paths if stages.of(path) in names}
    for layer in layers:
        found |= _of_layer(layer, paths, stages)
    return found


def _of_layer(layer: str, parameters: Iterable[str], stages: Stages) -> set[str]:
    if layer in stages:
        return {path for path in parameters if stages.of(path) == layer}
    found = {path for path in parameters if lies_under(path, layer)}
    if not found:
        raise stages.unknown(layer)
    return found


def resting(net: nn.Module, stages: Stages) -> Iterator[nn.Module]:
    """Yield the modules of ``net`` that stay in evaluation mode because they are frozen.

    A module without parameters (dropout, stochastic depth) follows its stage, or else the layer
    before it.
    """
    trained = {stages.of(p) for p, tensor in net.named_parameters() if tensor.requires_grad}
    before = False
    for path, module in net.named_modules():
        trainable = [p.requires_grad for p in module.parameters()]
        if trainable:
            resting = not any(trainable)
        else:
            stage = stages.of(path)
            resting = stage not in trained if stage else before
        if next(module.parameters(recurse=False), None) is not None:
            before = resting
        if resting:
            yield module


def measured_norms(net: nn.Module) -> Iterator[nn.Module]:
    """Yield the batch-normalisation layers whose running statistics differ from their initial ones."""
    for module in net.modules():
        if not isinstance(module, _BatchNorm):
            continue
        mean, var = module.running_mean, module.running_var
        if mean is not None and var is not None and bool((mean != 0).any() | (var != 1).any()):
            yield module
