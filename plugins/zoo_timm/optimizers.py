"""timm's optimisers, made by its factory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMES: Sequence[str] = (
    *("adabelief", "adafactorbv", "adamp", "adan", "adanw", "adopt", "adoptw", "lamb", "lambw"),
    *("laprop", "lars", "lion", "madgrad", "madgradw", "mars", "nadamw", "nlars", "novograd"),
    *("radabelief", "rmsproptf", "sgdp", "sgdw"),
)
"""Those that need no other library, and no more than one gradient a step, without variants."""


def make(groups: list[dict[str, Any]], *, name: str) -> Any:
    """The optimiser of that name, with timm's defaults."""
    from timm.optim._optim_factory import create_optimizer_v2

    return create_optimizer_v2(groups, opt=name, weight_decay=0.0, filter_bias_and_bn=False)
