"""Every hyperparameter of a fine-tune, its default, and what it may be."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

from zoo.errors import UsageError
from zoo.spec import Modality


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a backbone is adapted.

    Attributes:
        strategy: Name of the strategy.
        epochs: Passes over the training split in the strategy's last phase.
        probe_epochs: Passes over the cached features where a phase trains the head alone first.
        lr: Learning rate of the head and of the last stage where the backbone trains.
        probe_lr: Learning rate of the head where it trains alone.
        layer_decay: Factor on the learning rate from each stage to the one before it.
        base_width: Inputs that a matrix may sum over at the full learning rate, and a filter over
            twice as many; with more, the rate is smaller in proportion. ``None`` for one rate
            whatever the width.
        weight_decay: AdamW's decoupled decay; biases and normalisation have none.
        batch_size: Samples a step.
        probe_batch_size: Features a step where the head trains alone.
        warmup: Share of a phase's steps in which the learning rate rises.
        max_grad_norm: Gradients are scaled down to this norm.
        freeze_until: The last stage that never trains; ``None`` for none.
        seed: Of everything random.
    """

    strategy: str
    epochs: int
    probe_epochs: int
    lr: float
    probe_lr: float
    layer_decay: float
    weight_decay: float
    base_width: int | None = None
    batch_size: int = 32
    probe_batch_size: int = 64
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    freeze_until: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("--epochs", self.epochs, 1)
        _at_least("--batch-size", self.batch_size, 1)
        _at_least("--seed", self.seed, 0)
        _above("--lr", self.lr, 0)
        _at_least("--weight-decay", self.weight_decay, 0)

    def to_json(self) -> dict[str, Any]:
        """The fields, for the lock file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def default(cls, modality: Modality, *, pretrained: bool, strategy: str | None = None) -> Self:
        """What is good enough for most data, by modality and by where training starts."""
        chosen = strategy or ("two-stage" if pretrained else "full")
        return cls(strategy=chosen, **_DEFAULTS[modality, pretrained])

    def changed(self, **wishes: Any) -> Self:
        """A copy with the wishes that are not ``None``; ``lr`` and ``epochs`` follow the strategy.

        Under ``probe``, where the head alone trains, they are those of the head.
        """
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        recipe = replace(self, **given)
        if recipe.strategy == "probe":
            return replace(
                recipe,
                probe_epochs=given.get("epochs", recipe.probe_epochs),
                probe_lr=given.get("lr", recipe.probe_lr),
            )
        return recipe


# By (modality, whether the weights are pretrained).
_DEFAULTS: dict[tuple[str, bool], dict[str, Any]] = {
    ("image", True): {
        "epochs": 5,
        "probe_epochs": 20,
        "lr": 2e-4,
        "probe_lr": 2e-3,
        "layer_decay": 0.75,
        "weight_decay": 0.05,
    },
    ("image", False): {
        "epochs": 10,
        "probe_epochs": 20,
        "lr": 1e-3,
        "probe_lr": 2e-3,
        "layer_decay": 1.0,
        "base_width": 256,
        "weight_decay": 0.05,
    },
    ("text", True): {
        "epochs": 3,
        "probe_epochs": 10,
        "lr": 1e-4,
        "probe_lr": 5e-3,
        "layer_decay": 0.98,
        "weight_decay": 0.01,
    },
    ("text", False): {
        "epochs": 5,
        "probe_epochs": 20,
        "lr": 2e-3,
        "probe_lr": 5e-3,
        "layer_decay": 1.0,
        "base_width": 256,
        "weight_decay": 0.05,
    },
}


def _at_least(option: str, value: float, least: float) -> None:
    if not value >= least:
        raise UsageError(f"{option} {value:g} cannot be", hint=f"Give {least:g} or more.")


def _above(option: str, value: float, bound: float) -> None:
    if not value > bound:
        raise UsageError(f"{option} {value:g} cannot be", hint=f"Give a number above {bound:g}.")
