"""The built-in kinds of adapters; plugins add theirs through ``zoo_adapters``. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.contract.adapters import AdapterKind, AdapterOptions

if TYPE_CHECKING:
    from torch import nn


def lora_config(options: AdapterOptions, layers: str) -> Any:
    """LoRA: Hu et al. 2022, arXiv:2106.09685."""
    from peft import LoraConfig

    return LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=layers,
    )


def dora_config(options: AdapterOptions, layers: str) -> Any:
    """DoRA, LoRA of the direction of each weight: Liu et al. 2024, arXiv:2402.09353."""
    config = lora_config(options, layers)
    config.use_dora = True
    return config


def ia3_config(_: AdapterOptions, layers: str) -> Any:
    """IA³, a factor on each output of a layer: Liu et al. 2022, arXiv:2205.05638."""
    from peft import IA3Config

    return IA3Config(target_modules=layers, feedforward_modules=[])


def biases(net: nn.Module) -> list[str]:
    """All biases: BitFit, Ben Zaken et al. 2022, arXiv:2106.10199."""
    return [
        name for name, p in net.named_parameters() if p.ndim == 1 and "bias" in name.split(".")[-1]
    ]


def norms(net: nn.Module) -> list[str]:
    """Parameters of normalisation layers: Frankle et al. 2021, arXiv:2003.00152."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in net.named_modules()
        if _normalises(module)
        for name, _ in module.named_parameters(recurse=False)
    ]


def _normalises(module: nn.Module) -> bool:
    """Whether it is a normalisation layer: libraries have their own, named ``…Norm…`` by convention."""
    return "norm" in type(module).__name__.lower() and all(
        p.ndim <= 1 or p.numel() == max(p.shape) for p in module.parameters(recurse=False)
    )


ADAPTERS: Mapping[str, AdapterKind] = {
    "lora": AdapterKind(title="LoRA", config=lora_config, rank=True, dropout=True),
    "dora": AdapterKind(
        title="DoRA",
        config=dora_config,
        layers=("Linear", "Conv1d", "Conv2d", "Conv3d", "Conv1D"),
        rank=True,
        dropout=True,
    ),
    "ia3": AdapterKind(
        title="IA³", config=ia3_config, layers=("Linear", "Conv2d", "Conv3d", "Conv1D")
    ),
    "bias": AdapterKind(title="biases", parameters=biases),
    "norm": AdapterKind(title="normalisation layers", parameters=norms),
}
