"""Find modules that adapters can be added to and merged into."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def adapter_targets(
    net: nn.Module, adaptable: AbstractSet[str], unadaptable: AbstractSet[str]
) -> list[str]:
    """See :meth:`zoo.contract.network.backbone.Backbone.adapter_targets`; the head must be removed."""
    fused = unadaptable | {
        f"{path}.out_proj"
        for path, module in net.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    modules = [
        (path, m)
        for path, m in net.named_modules()
        if path not in fused and not is_parametrized(m)  # a merged weight would be lost
    ]
    layers = [path for path, m in modules if path in adaptable or _merges(m)]
    return layers or [path for path, m in modules if isinstance(m, nn.Embedding)]


def left_unadapted(net: nn.Module, targets: Iterable[str]) -> Counter[str]:
    """Count full convolutions that are not among ``targets``, by class."""
    chosen = set(targets)
    return Counter(
        type(module).__name__
        for path, module in net.named_modules()
        if isinstance(module, _CONVOLUTIONS) and module.groups == 1 and path not in chosen
    )


def _merges(module: nn.Module) -> bool:
    """Whether an adapter can be added to a layer and merged into it.

    PEFT builds the adapter of a convolution from the convolution's class, without its dilation and
    padding mode. Layers that transform their weight before use, such as weight standardisation,
    give other outputs after merging. So all layers except torch's plain ones are tested.
    """
    if isinstance(module, _CONVOLUTIONS):
        if module.groups != 1:
            return False
        as_torch = type(module) in _CONVOLUTIONS
        plain = as_torch and set(module.dilation) == {1} and module.padding_mode == "zeros"
        return plain or _takes_an_adapter(module, _pixels(module))
    if isinstance(module, nn.Linear):
        if type(module).forward is nn.Linear.forward:
            return True
        return _takes_an_adapter(module, torch.randn(2, module.in_features, generator=_seeded()))
    return False


def _pixels(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """A small input of a convolution."""
    geometry = zip(module.kernel_size, module.dilation, module.stride, strict=True)
    sides = [dilation * (kernel - 1) + 1 + 2 * stride for kernel, dilation, stride in geometry]
    return torch.randn(1, module.in_channels, *sides, generator=_seeded())


def _takes_an_adapter(module: nn.Module, given: Tensor) -> bool:
    """Whether a copy of a layer gives the same outputs with a separate and with a merged adapter."""
    from peft import LoraConfig, inject_adapter_in_model

    generator = _seeded()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = nn.ModuleDict({"layer": copy.deepcopy(module).to_empty(device="cpu").double()})
            inject_adapter_in_model(LoraConfig(r=2, target_modules="layer"), net.eval())
            for parameter in net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            layer: Any = net["layer"]
            with_adapter = layer(given.double())
            layer.merge()
            merged = layer(given.double())
    except Exception:  # a custom layer that cannot be tried
        return False
    return with_adapter.shape == merged.shape and torch.allclose(
        with_adapter, merged, rtol=1e-4, atol=1e-4
    )


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
