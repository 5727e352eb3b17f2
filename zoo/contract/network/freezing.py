"""Which parameters are meant to be frozen, and which modules rest because theirs are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import nn

from zoo.contract.stages import Stages, lies_under


def chosen(
    parameters: Iterable[str], stages: Stages, layers: Sequence[str], names: Sequence[str]
) -> set[str]:
    """Those of the parameters that lie in ``layers`` or the stages ``names``; all without either.

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
    """The modules of ``net`` that frozen parameters put to rest.

    A module without parameters (dropout, stochastic depth) rests with its stage; one that no
    stage's path names rests with the layer before it.
    """
    trained = {stages.of(p) for p, tensor in net.named_parameters() if tensor.requires_grad}
    before = False
    for path, module in net.named_modules():
        own = [p.requires_grad for p in module.parameters()]
        if own:
            resting = not any(own)
        else:
            stage = stages.of(path)
            resting = stage not in trained if stage else before
        if next(module.parameters(recurse=False), None) is not None:
            before = resting
        if resting:
            yield module
