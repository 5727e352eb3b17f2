"""The built-in heads; plugins add theirs through ``zoo_heads``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.hookspecs import HeadFactory
from zoo.engine.recipe import Solver
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.registry import Registry, find_offer


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
    return find_offer(HEAD, name, HEADS, registry)


def _check_outputs(
    head: nn.Module, offer: Offer[HeadFactory], feature_dim: int, outputs: int
) -> None:
    """Call a plugin's head once: an error in the first step would not name the plugin."""
    training = head.training
    with torch.random.fork_rng(), torch.no_grad():
        given = offer.call(head.eval(), torch.zeros(2, feature_dim))
    head.train(training)
    if not isinstance(given, Tensor) or given.shape != (2, outputs):
        found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise offer.broken(f"its {offer} returned {found} for 2 samples, expected {(2, outputs)}")


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
    bias: bool = True,
) -> nn.Module:
    """A new head, from ``(B, feature_dim)`` to ``(B, outputs)``, with random parameters.

    Args:
        offer: What :func:`find_head` found.
        feature_dim: Width of the backbone's features.
        outputs: Number of classes.
        bias: Whether the linear head has one (:attr:`zoo.Backbone.head_bias`).

    Raises:
        PluginError: A plugin's head fails, is not a module, or has other outputs.
    """
    if offer.value is linear:
        head = linear(feature_dim, outputs, bias=bias)
    else:
        head = offer.call(offer.value, feature_dim, outputs)
    if not isinstance(head, nn.Module):
        raise offer.broken(f"its {offer} returned {type(head).__name__}, not a torch.nn.Module")
    if offer.plugin:
        _check_outputs(head, offer, feature_dim, outputs)
    return head


def add_dropout(head: nn.Module, rate: float) -> None:
    """Drop features out before the head in training mode.

    A hook rather than a layer, so that the head's parameters keep their names.

    Args:
        head: Any head.
        rate: In [0, 1); nothing is added for 0.
    """
    if rate:
        head.register_forward_pre_hook(_Dropout(rate))


def solver_of(head: nn.Module, offer: Offer[HeadFactory]) -> Solver:
    """The solver for training this head alone: its attribute ``solver``, if it has one.

    L-BFGS to convergence suits a linear layer, whose loss is convex. It fits other heads to strong
    overfitting with a weak penalty, and with a strong one makes them linear or constant.

    Args:
        head: What ``offer`` made.
        offer: The head's factory.

    Raises:
        PluginError: The attribute is not a solver.
    """
    declared = getattr(head, "solver", None)
    if not isinstance(declared, str):
        return "lbfgs" if type(head) is nn.Linear else "adamw"
    known: Mapping[str, Solver] = {name: name for name in get_args(Solver)}
    if declared not in known:
        raise offer.broken(
            f"its {offer} has solver = {declared!r}; it must be one of {', '.join(known)}"
        )
    return known[declared]
