"""Optimisers by name; plugins add theirs through ``zoo_optimizers``. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zoo.contract.extensions import OptimizerSpec, imported
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.registry import Registry, find_offer

if TYPE_CHECKING:
    import torch

OPTIMIZER = OfferKind(
    noun="optimizer",
    plural="optimizers",
    hook="zoo_optimizers",
    holds=OptimizerSpec,
    training_only=True,
)

ADAMW = "adamw"
"""The default."""

OPTIMIZERS: Mapping[str, OptimizerSpec] = {
    ADAMW: OptimizerSpec(make="torch.optim:AdamW", fused=True),
    "sgd": OptimizerSpec(
        make="torch.optim:SGD", options={"momentum": 0.9, "nesterov": True}, fused=True
    ),
    "adam": OptimizerSpec(make="torch.optim:Adam", fused=True),
    "nadam": OptimizerSpec(make="torch.optim:NAdam", options={"decoupled_weight_decay": True}),
    "radam": OptimizerSpec(make="torch.optim:RAdam", options={"decoupled_weight_decay": True}),
    "adamax": OptimizerSpec(make="torch.optim:Adamax"),
    "adagrad": OptimizerSpec(make="torch.optim:Adagrad"),
    "adadelta": OptimizerSpec(make="torch.optim:Adadelta"),
    "adafactor": OptimizerSpec(make="torch.optim:Adafactor"),
    "rmsprop": OptimizerSpec(make="torch.optim:RMSprop"),
    "asgd": OptimizerSpec(make="torch.optim:ASGD"),
}
"""torch's own, which take one step from one gradient and parameters of any shape."""


def find_optimizer(name: str, registry: Registry | None = None) -> Offer[OptimizerSpec]:
    """The optimiser of that name: torch's own, or a plugin's.

    Args:
        name: Bare, or ``plugin/name``.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: There is none, or several plugins offer it.
        PluginError: Its plugin cannot be used.
    """
    return find_offer(OPTIMIZER, name, OPTIMIZERS, registry)


def make_optimizer(
    offer: Offer[OptimizerSpec], groups: Iterable[dict[str, Any]], device: torch.device
) -> torch.optim.Optimizer:
    """The optimiser of parameter groups, fused where it can be.

    Args:
        offer: Which one.
        groups: As of :func:`zoo.engine.groups.parameter_groups`.
        device: Where the parameters are.

    Raises:
        PluginError: It is a plugin's, and raises an error or is not an optimiser.
    """
    import torch

    spec = offer.value
    fused = {"fused": True} if spec.fused and device.type in ("cpu", "cuda") else {}
    made = offer.call(imported(spec.make), list(groups), **spec.options, **fused)
    if not isinstance(made, torch.optim.Optimizer):
        raise offer.broken(f"its {offer} made {made!r}, not a torch.optim.Optimizer")
    return made
