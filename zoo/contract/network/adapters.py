"""Find modules that LoRA adapters can be added to and merged into."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def adapter_targets(
    net: nn.Module, adaptable: AbstractSet[str], unadaptable: AbstractSet[str]
) -> list[str]:
    """As :meth:`zoo.contract.network.backbone.Backbone.adapter_targets`, of a network without its head."""
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
    layers = [
        path for path, m in modules if isinstance(m, nn.Linear) or _merges(m) or path in adaptable
    ]
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
    """Whether a module is a full convolution that an adapter can be merged into.

    Weight-standardised convolutions, for example, cannot: their outputs would change. A custom
    ``forward`` is tested for additivity in the weight.
    """
    if not isinstance(module, _CONVOLUTIONS) or module.groups != 1:
        return False
    return _forwards_as_torch(module) or _is_additive(module)


def _forwards_as_torch(module: nn.Module) -> bool:
    return any(type(module).forward is kind.forward for kind in _CONVOLUTIONS)


def _is_additive(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    if module.weight.is_meta:
        return False
    twin = copy.deepcopy(module).cpu().double().eval()
    generator = torch.Generator().manual_seed(0)
    reach = zip(module.kernel_size, module.dilation, module.stride, strict=True)
    sides = [dilation * (kernel - 1) + 1 + 2 * stride for kernel, dilation, stride in reach]
    given = torch.randn(1, module.in_channels, *sides, generator=generator).double()
    first, second = (torch.randn(module.weight.shape, generator=generator) for _ in range(2))
    outputs = []
    try:
        with torch.no_grad():
            if twin.bias is not None:
                twin.bias.zero_()
            for weight in (first, second, first + second):
                twin.weight.copy_(weight)
                outputs.append(twin(given))
    except Exception:  # a custom layer that cannot be tested
        return False
    return torch.allclose(outputs[0] + outputs[1], outputs[2], rtol=1e-4, atol=1e-4)
