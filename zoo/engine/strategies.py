"""How a backbone is adapted: each strategy turns a recipe into the phases of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zoo.backbone import Backbone
from zoo.engine.recipe import Recipe
from zoo.errors import NameLookupError, closest
from zoo.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training in which the same parameters train.

    Attributes:
        name: How the progress and ``metrics.jsonl`` call it.
        epochs: Passes over the training split.
        lr: Learning rate of the head and of the last stage.
        layer_decay: Factor on it from each stage to the one before.
        trains_backbone: Whether more than the head trains. If not, the features are computed
            once and the head trains on them.
        freeze_until: The last stage that stays frozen although the backbone trains.
    """

    name: str
    epochs: int
    lr: float
    layer_decay: float = 1.0
    trains_backbone: bool = True
    freeze_until: str | None = None

    def prepare(self, backbone: Backbone) -> None:
        """Freeze and thaw ``backbone`` as this phase wants it."""
        backbone.unfreeze()
        if not self.trains_backbone:
            backbone.freeze()
        elif self.freeze_until:
            backbone.freeze(upto=self.freeze_until)


Strategy = Callable[[Recipe], Sequence[Phase]]


def probe(recipe: Recipe) -> Sequence[Phase]:
    """The head alone, on features that are computed once."""
    return [
        Phase(name="probe", epochs=recipe.probe_epochs, lr=recipe.probe_lr, trains_backbone=False)
    ]


def full(recipe: Recipe) -> Sequence[Phase]:
    """Everything, the earlier stages with smaller learning rates."""
    return [
        Phase(
            name="full",
            epochs=recipe.epochs,
            lr=recipe.lr,
            layer_decay=recipe.layer_decay,
            freeze_until=recipe.freeze_until,
        )
    ]


def two_stage(recipe: Recipe) -> Sequence[Phase]:
    """First the head, then everything from that head on.

    Linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054. A head that fits
    before the backbone moves spares the pretrained features the damage of its first gradients.
    """
    return [*probe(recipe), *full(recipe)]


STRATEGIES: Mapping[str, Strategy] = {"probe": probe, "full": full, "two-stage": two_stage}


def find_strategy(name: str, registry: Registry) -> Strategy:
    """The strategy ``name``: the zoo's own, or a plugin's.

    Raises:
        NameLookupError: Neither has it.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    offered = registry.offers("zoo_strategies")
    if name not in offered:
        known = [*STRATEGIES, *offered]
        near = closest(name, known, 1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise NameLookupError(
            f"no strategy is called {name!r}.{guess}", hint=f"Strategies: {', '.join(known)}."
        )
    return offered[name]
