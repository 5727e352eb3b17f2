"""The built-in heads; plugins add theirs through ``zoo_heads``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.hookspecs import HeadFactory
from zoo.errors import NameLookupError, did_you_mean
from zoo.registry.registry import Registry


def linear(feature_dim: int, outputs: int, *, bias: bool = True) -> nn.Module:
    """One linear layer: ``(B, feature_dim)`` to ``(B, outputs)``."""
    return nn.Linear(feature_dim, outputs, bias=bias)


def mlp(feature_dim: int, outputs: int) -> nn.Module:
    """Two linear layers with a hidden width of ``feature_dim``, at most 512, and dropout."""
    hidden = min(feature_dim, 512)
    return nn.Sequential(
        nn.Linear(feature_dim, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, outputs)
    )


HEADS: Mapping[str, HeadFactory] = {"linear": linear, "mlp": mlp}


class _Dropout:
    """Dropout on the inputs of a head in training mode."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        features, *rest = inputs
        return (functional.dropout(features, self.rate, training=head.training), *rest)


def make_head(
    name: str,
    feature_dim: int,
    outputs: int,
    *,
    registry: Registry | None = None,
    dropout: float = 0.0,
    bias: bool = True,
) -> nn.Module:
    """The head ``name``, from ``(B, feature_dim)`` to ``(B, outputs)``, with random parameters.

    Args:
        name: A built-in head, or a plugin's.
        feature_dim: Width of the backbone's features.
        outputs: Number of classes.
        registry: Plugins to search; default: those installed.
        dropout: Dropout rate of the features, in [0, 1). It is a hook rather than a layer, so that
            the head's parameters keep their names.
        bias: Whether the linear head has one (:attr:`zoo.Backbone.head_bias`).

    Raises:
        NameLookupError: There is no head of that name.
    """
    factory = _factory(name, registry)
    head = (
        linear(feature_dim, outputs, bias=bias)
        if factory is linear
        else factory(feature_dim, outputs)
    )
    if dropout:
        head.register_forward_pre_hook(_Dropout(dropout))
    return head


def _factory(name: str, registry: Registry | None) -> HeadFactory:
    if name in HEADS:
        return HEADS[name]
    offered = (registry or Registry.discover()).offers("zoo_heads")
    if name not in offered:
        known = [*HEADS, *offered]
        guess = did_you_mean(name, known)
        raise NameLookupError(
            f"no head is called {name!r}.{guess}", hint=f"Heads: {', '.join(known)}."
        )
    factory: HeadFactory = offered[name]
    return factory
