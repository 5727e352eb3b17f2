"""Two more of PEFT's adapters: LoHa and LoKr."""

from __future__ import annotations

from typing import Any

from zoo import AdapterKind, AdapterOptions


def loha_config(options: AdapterOptions, layers: str) -> Any:
    """Products of low-rank matrices, element by element: Hyeon-Woo et al. 2022, arXiv:2108.06098."""
    from peft import LoHaConfig

    return LoHaConfig(r=options.rank, alpha=options.alpha, target_modules=layers)


def lokr_config(options: AdapterOptions, layers: str) -> Any:
    """Kronecker products of low-rank matrices: Edalati et al. 2022, arXiv:2212.10650."""
    from peft import LoKrConfig

    return LoKrConfig(r=options.rank, alpha=options.alpha, target_modules=layers)


_LAYERS = ("Linear", "Conv2d")
ADAPTERS = {
    "loha": AdapterKind(title="LoHa", config=loha_config, layers=_LAYERS, rank=True),
    "lokr": AdapterKind(title="LoKr", config=lokr_config, layers=_LAYERS, rank=True),
}
