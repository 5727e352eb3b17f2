"""Measure the feature dimension and the number of parameters that a spec does not state."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import ContractError, first_line

_DTYPES = {"float32": torch.float32, "int64": torch.int64}


def measure(backbone: Backbone) -> None:
    """Set ``feature_dim`` and ``params`` in the spec of a backbone if they are not stated.

    Raises:
        ContractError: The feature dimension cannot be measured.
    """
    spec = backbone.spec
    if not spec.params:
        spec = replace(spec, params=sum(p.numel() for p in backbone.parameters()))
    if not spec.feature_dim:
        spec = replace(spec, feature_dim=_width_of(backbone.head) or measured_width(backbone))
    backbone.spec = spec


def _width_of(head: nn.Module) -> int:
    """Return the input width of a head that begins with a linear layer; else 0."""
    first = next((m for m in head.modules() if not [*m.children()]), None)
    return first.in_features if isinstance(first, nn.Linear) else 0


def measured_width(backbone: Backbone) -> int:
    """Measure the width of the features of an example.

    Raises:
        ContractError: The network fails, or its features do not have two dimensions.
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
