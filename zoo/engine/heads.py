"""The built-in heads; plugins add theirs through ``zoo_heads``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.hookspecs import HeadFactory
from zoo.registry.offers import Offer, OfferKind
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

HEAD = OfferKind(noun="head", plural="heads", hook="zoo_heads")


def find_head(name: str, registry: Registry | None = None) -> Offer[HeadFactory]:
    """The head ``name``: zoo's own, or a plugin's.

    Args:
        name: Bare, or ``plugin/name``.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: There is no such head, or several plugins offer it.
        PluginError: Its plugin cannot be used.
    """
    return (registry or Registry.discover()).offer(HEAD, name, HEADS)


class _Dropout:
    """Dropout on the inputs of a head in training mode."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        features, *rest = inputs
        return (functional.dropout(features, self.rate, training=head.training), *rest)


def make_head(
    offer: Offer[HeadFactory],
    feature_dim: int,
    outputs: int,
    *,
    dropout: float = 0.0,
    bias: bool = True,
) -> nn.Module:
    """A new head, from ``(B, feature_dim)`` to ``(B, outputs)``, with random parameters.

    Args:
        offer: What :func:`find_head` found.
        feature_dim: Width of the backbone's features.
        outputs: Number of classes.
        dropout: Dropout rate of the features, in [0, 1). It is a hook rather than a layer, so that
            the head's parameters keep their names.
        bias: Whether the linear head has one (:attr:`zoo.Backbone.head_bias`).

    Raises:
        PluginError: A plugin's head fails, or is not a module.
    """
    if offer.value is linear:
        head = linear(feature_dim, outputs, bias=bias)
    else:
        head = offer.call(offer.value, feature_dim, outputs)
    if not isinstance(head, nn.Module):
        raise offer.broken(f"its {offer} returned {type(head).__name__}, not a torch.nn.Module")
    if dropout:
        head.register_forward_pre_hook(_Dropout(dropout))
    return head
