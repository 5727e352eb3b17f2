"""Adapters of a backbone in training: inserted where they fit, described, merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from zoo.contract.adapters import AdapterKind, AdapterOptions
from zoo.contract.network.backbone import Backbone
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError
from zoo.weights.adapter_kinds import ADAPTERS
from zoo.weights.loading import adapter_layers

_LORA = ADAPTERS["lora"]


def insert(backbone: Backbone, recipe: Recipe, kind: AdapterKind = _LORA) -> None:
    """Insert adapters at the backbone's targets; then they alone take gradients.

    Targets in stages up to ``recipe.freeze_until`` are left out. A backbone that has adapters
    keeps them.

    Raises:
        UsageError: There are no targets, or ``lora_dropout`` would have no effect.
    """
    backbone.freeze()
    if not any(layers(backbone)):
        targets = _targets(backbone, kind, recipe.freeze_until)
        if not targets:
            raise UsageError(
                f"{backbone.spec.name} has no layers that {kind.title} supports"
                + (f" after --freeze-until {recipe.freeze_until}" if recipe.freeze_until else ""),
                hint="Choose --strategy full, bias or two-stage.",
            )
        adapter_layers.insert(backbone.net, kind, options_of(recipe, kind), targets)
        if kind.dropout and recipe.lora_dropout and _only_embeddings(backbone):
            raise UsageError(
                f"--lora-dropout has no effect: {kind.title} adapts only the embeddings of "
                f"{backbone.spec.name}, whose inputs are ids",
                hint="Leave --lora-dropout out.",
            )
    backbone.unfreeze(*adapter_layers.parameter_names(backbone.net))


def options_of(recipe: Recipe, kind: AdapterKind) -> AdapterOptions:
    """The options that the kind uses; the others have their default."""
    options = AdapterOptions()
    if kind.rank:
        options = replace(options, rank=recipe.lora_rank, alpha=recipe.lora_alpha)
    if kind.dropout:
        options = replace(options, dropout=recipe.lora_dropout)
    return options


def in_words(backbone: Backbone, kind: AdapterKind = _LORA) -> str:
    """Which layers have adapters, and their share of the weights."""
    bases = [layer.get_base_layer() for _, layer in layers(backbone)]
    added = adapter_layers.parameter_names(backbone.net)
    every = sum(p.numel() for path, p in backbone.net.named_parameters() if path not in added)
    adapted = sum(p.numel() for base in bases for p in base.parameters())
    embeddings = _only_embeddings(backbone)
    one, many = ("embedding", "embeddings") if embeddings else ("layer", "layers")
    what = (one if len(bases) == 1 else many) + (" only" if embeddings else "")
    share = f"{adapted / every:.0%} of the backbone's weights"
    words = f"{kind.title} on {len(bases)} {what} with {share}"
    left = [f"{count} {name}" for name, count in backbone.left_unadapted().items()]
    return words + (
        f", not on {' and '.join(left)}, into which {kind.title} cannot be merged," * bool(left)
    )


def layers(backbone: Backbone) -> Iterator[tuple[str, Any]]:
    """The adapter layers, by path in ``net``."""
    return adapter_layers.layers(backbone.net)


def parameter_names(backbone: Backbone) -> set[str]:
    """Names in ``net`` of the parameters that belong to adapters."""
    return adapter_layers.parameter_names(backbone.net)


def merge(backbone: Backbone) -> None:
    """Merge the adapters into the weights, and remove them."""
    adapter_layers.merge(backbone.net)


def remove(backbone: Backbone) -> None:
    """Remove the adapters; the weights stay as they are."""
    adapter_layers.remove(backbone.net)


def merged(backbone: Backbone) -> AbstractContextManager[None]:
    """Compute with merged weights, bit-identical to :func:`merge`, while the block runs."""
    return adapter_layers.merged(backbone.net)


def plain_state(backbone: Backbone) -> dict[str, Tensor]:
    """The state dict under the names without adapters, and without their tensors."""
    return adapter_layers.plain_state(backbone)


def _only_embeddings(backbone: Backbone) -> bool:
    """Whether only embeddings have adapters."""
    return all(isinstance(layer.get_base_layer(), nn.Embedding) for _, layer in layers(backbone))


def _targets(backbone: Backbone, kind: AdapterKind, freeze_until: str | None) -> list[str]:
    names = [stage.name for stage in backbone.stages()]
    left_out = names[: names.index(freeze_until) + 1] if freeze_until else []
    return [
        path
        for path in backbone.adapter_targets()
        if backbone.stage_of(path) not in left_out
        and kind.layers_include(type(backbone.net.get_submodule(path)))
    ]
