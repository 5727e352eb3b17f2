"""Adapter layers in a network, through PEFT: inserted, read, loaded, merged, removed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.adapters import AdapterKind, AdapterOptions, imported
from zoo.contract.network.loading import difference

_NAME = "default"
_BASE = "base_layer"


def insert(
    net: nn.Module, kind: AdapterKind, options: AdapterOptions, paths: Sequence[str]
) -> None:
    """Insert adapters at ``paths``."""
    from peft import inject_adapter_in_model

    exactly = "|".join(map(re.escape, paths))  # PEFT takes a list as suffixes
    config = imported(kind.config)(options, exactly)
    with warnings.catch_warnings():
        # PEFT warns of layers with transposed weights, and corrects the setting itself.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        inject_adapter_in_model(config, net, adapter_name=_NAME)


def layers(net: nn.Module) -> Iterator[tuple[str, Any]]:
    """The adapter layers, by path; each wraps the layer that it adapts."""
    inside = ""
    for path, module in net.named_modules():
        if inside and path.startswith(inside):
            continue
        if isinstance(module, nn.Module) and hasattr(module, "adapter_layer_names"):
            yield path, module
            inside = f"{path}."


def tensors(net: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors, as PEFT names them in files: ``<layer>.lora_A.weight``."""
    found: dict[str, Tensor] = {}
    for path, layer in layers(net):
        for attribute in layer.adapter_layer_names:
            held = getattr(layer, attribute, None)
            if held is None or _NAME not in held:
                continue
            entry = held[_NAME]
            if isinstance(entry, Tensor):
                found[f"{path}.{attribute}"] = entry.detach()
            else:
                state = entry.state_dict()
                found |= {f"{path}.{attribute}.{key}": tensor for key, tensor in state.items()}
    return found


def load_tensors(net: nn.Module, given: Mapping[str, Tensor]) -> list[str]:
    """Copy the values of :func:`tensors` into inserted adapters.

    Returns:
        Missing and unknown tensors, and those of another shape, in words; if there are any, nothing
        is changed.
    """
    current = tensors(net)
    wrong = difference(dict(given), current)
    if not wrong:
        with torch.no_grad():
            for name, tensor in current.items():
                tensor.copy_(given[name])
    return wrong


def parameter_names(net: nn.Module) -> set[str]:
    """Names of the parameters that belong to adapters."""
    return _adapter_keys(net, [name for name, _ in net.named_parameters()])


def merge(net: nn.Module) -> None:
    """Merge the adapters into the weights, and remove them."""
    for _, layer in layers(net):
        layer.merge(safe_merge=True)
    remove(net)


def remove(net: nn.Module) -> None:
    """Remove the adapters; the weights stay as they are."""
    for path, layer in list(layers(net)):
        net.set_submodule(path, layer.get_base_layer(), strict=True)
    if hasattr(net, "peft_config"):
        del net.peft_config  # else PEFT warns about a second injection


@contextmanager
def merged(net: nn.Module) -> Iterator[None]:
    """Compute with merged weights, bit-identical to :func:`merge`, while the block runs."""
    kept = []
    try:
        for _, layer in layers(net):
            base = layer.get_base_layer()
            kept.append((layer, [(p, p.data) for p in base.parameters()]))
            layer.merge(safe_merge=True)  # makes new tensors; the kept ones are unchanged
        yield
    finally:
        for layer, values in kept:
            for parameter, value in values:
                parameter.data = value
            layer.merged_adapters.clear()


def plain_state(net: nn.Module) -> dict[str, Tensor]:
    """The state dict under the names without adapters, and without their tensors."""
    state = net.state_dict()
    adapters = _adapter_keys(net, list(state))
    return {
        key.replace(f".{_BASE}.", "."): tensor
        for key, tensor in state.items()
        if key not in adapters
    }


def has_adapters(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of a network with adapters."""
    return any(f".{_BASE}." in key for key in state)


def _adapter_keys(net: nn.Module, keys: Sequence[str]) -> set[str]:
    paths = tuple(f"{path}." for path, _ in layers(net))
    bases = tuple(f"{path}{_BASE}." for path in paths)
    return {key for key in keys if key.startswith(paths) and not key.startswith(bases)}
