"""Measure what a spec leaves open: the width of the features, the number of parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import ContractError, first_line

_DTYPES = {"float32": torch.float32, "int64": torch.int64}


def measure(backbone: Backbone) -> None:
    """Put the real ``feature_dim`` and ``params`` into the spec of a backbone that states none.

    Raises:
        ContractError: The features have no width to measure.
    """
    spec = backbone.spec
    if not spec.params:
        spec = replace(spec, params=sum(p.numel() for p in backbone.parameters()))
    if not spec.feature_dim:
        spec = replace(spec, feature_dim=_width_of(backbone.head) or measured_width(backbone))
    backbone.spec = spec


def _width_of(head: nn.Module) -> int:
    """The width that a head reads, if it begins with a linear layer; else 0."""
    first = next((m for m in head.modules() if not [*m.children()]), None)
    return first.in_features if isinstance(first, nn.Linear) else 0


def measured_width(backbone: Backbone) -> int:
    """The width of the features of an example.

    Raises:
        ContractError: The network fails, or its features have no width.
    """
    name, training = backbone.spec.name, backbone.net.training
    try:
        with torch.no_grad():
            features = backbone.eval().extract(backbone.net, _example(backbone))
    except Exception as error:  # a network's own
        raise ContractError(
            f"failed to measure the features of {name}: {first_line(error, kind=True)}",
            hint="State feature_dim in its BackboneSpec.",
        ) from error
    finally:
        backbone.train(training)
    if features.ndim != 2:
        raise ContractError(
            f"{name} returned features of shape {tuple(features.shape)}, expected two dimensions",
            hint="Flatten them in 'extract' to (B, feature_dim).",
        )
    return features.shape[1]


def _example(backbone: Backbone) -> dict[str, Tensor]:
    device = next(backbone.net.parameters()).device
    return {
        key: torch.ones(2, *shape, dtype=_DTYPES[kind], device=device)
        for key, (shape, kind) in backbone.spec.input.example().items()
    }
