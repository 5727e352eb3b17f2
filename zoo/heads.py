"""The heads that the zoo itself offers; plugins add theirs through ``zoo_heads``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from zoo.hookspecs import HeadFactory


def linear(feature_dim: int, outputs: int) -> nn.Module:
    """One linear layer: ``(B, feature_dim)`` to ``(B, outputs)``."""
    return nn.Linear(feature_dim, outputs)


def mlp(feature_dim: int, outputs: int) -> nn.Module:
    """Two linear layers with a hidden width of ``feature_dim``, at most 512, and dropout."""
    hidden = min(feature_dim, 512)
    return nn.Sequential(
        nn.Linear(feature_dim, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, outputs)
    )


HEADS: Mapping[str, HeadFactory] = {"linear": linear, "mlp": mlp}
