"""The heads that the zoo itself offers; plugins add theirs through ``zoo_heads``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from zoo.errors import NameLookupError, closest
from zoo.hookspecs import HeadFactory
from zoo.registry import Registry


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


def make_head(
    name: str, feature_dim: int, outputs: int, *, registry: Registry | None = None
) -> nn.Module:
    """The head ``name``, from ``(B, feature_dim)`` to ``(B, outputs)``, with random parameters.

    Args:
        name: One of the zoo's own, or of a plugin.
        feature_dim: Width of the backbone's features.
        outputs: Number of classes.
        registry: Whose plugins to ask; what is installed by default.

    Raises:
        NameLookupError: Neither the zoo nor a plugin has it.
    """
    if name in HEADS:
        return HEADS[name](feature_dim, outputs)
    offered = (registry or Registry.discover()).offers("zoo_heads")
    if name not in offered:
        known = [*HEADS, *offered]
        near = closest(name, known, 1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise NameLookupError(
            f"no head is called {name!r}.{guess}", hint=f"Heads: {', '.join(known)}."
        )
    head: nn.Module = offered[name](feature_dim, outputs)
    return head
