"""Modules that cannot be wrapped: compiled, scripted, quantized, empty, or of another kind."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zoo.contract.inputs import InputSpec
from zoo.contract.network.loading import not_trainable, some
from zoo.errors import UsageError, first_line


def refuse_special(module: nn.Module, name: str) -> None:
    """Refuse modules that cannot be trained, or that hide the network."""
    inner = next((key for key in ("_orig_mod", "module") if key in module._modules), None)
    wrapper = type(module).__name__
    if inner and wrapper in _WRAPPERS:
        raise UsageError(
            f"the network is inside {wrapper}",
            hint=f"Pass the network itself, network.{inner}; {_WRAPPERS[wrapper]}",
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{name} is TorchScript, which cannot be copied and changed",
            hint="Pass the network that it was made from.",
        )
    if integers := not_trainable(module):
        raise UsageError(
            f"{name} is quantized and cannot be trained: {some(integers)}",
            hint="Pass the network in floating point, and quantize the trained model.",
        )
    parameters = dict(module.named_parameters())
    empty = [path for path, p in parameters.items() if p.is_meta or _is_lazy(p)]
    if empty or not parameters:
        raise UsageError(
            f"{name} has {'parameters without values: ' + some(empty) if empty else 'no parameters'}",
            hint="Load or initialise it first; lazy layers by one forward pass.",
        )


_WRAPPERS = {
    "OptimizedModule": "to compile it: compile='on'.",
    "DataParallel": "zoo distributes it itself.",
    "DistributedDataParallel": "zoo distributes it itself.",
    "FullyShardedDataParallel": "zoo distributes it itself.",
}


def require_kinds(given: object, head: object) -> None:
    """Refuse an input and a head of another type, such as a size or a module."""
    if given is not None and not isinstance(given, InputSpec):
        raise UsageError(
            f"input= must be a zoo.ImageInput, a zoo.TextInput or a plugin's input, got {given!r}",
            hint="zoo.wrap(network, input=zoo.ImageInput(224), head='fc')",
        )
    if head is not None and not isinstance(head, str):
        raise UsageError(
            f"head= must be the path of a module, got {type(head).__name__}",
            hint="It is a path as in network.named_modules(), e.g. fc or classifier.6.",
        )


def _is_lazy(parameter: Tensor) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def copied(module: nn.Module | None, name: str) -> nn.Module:
    try:
        return copy.deepcopy(module) if module is not None else nn.Module()
    except Exception as error:  # of the user's own module
        raise UsageError(
            f"{name} cannot be copied: {first_line(error, kind=True)}",
            hint="Wrap a function that builds it: zoo.wrap(build_net, …).",
        ) from error
