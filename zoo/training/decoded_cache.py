"""The cache of a run's decoded inputs, made before the data is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from zoo.engine.chosen_strategy import ChosenStrategy, find_strategy
from zoo.engine.decoding import DecodedCache, worth_decoding
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.errors import ZooError
from zoo.modalities import modality_of
from zoo.modalities.batches import Decoding
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.request import Request
from zoo.system.paths import cache_folder
from zoo.training.requested_weights import for_weights, weights_name
from zoo.weights.find import choose


def decoded_cache(
    request: Request,
    resolved: Resolved,
    strategy: ChosenStrategy | None,
    registry: Registry,
    *,
    device: torch.device,
    reporter: Reporter,
) -> DecodedCache:
    """The cache; it keeps inputs while they are checked if training will probably need them."""
    modality = modality_of(resolved.spec)
    decodings: Sequence[Decoding] = ()
    with suppress(ZooError):  # the run will fail for the same reason
        decodings = _expected(request, resolved, strategy, registry, device)
    return DecodedCache(
        cache_folder() / "features",
        {"data": str(request.data), "split": modality.nouns},
        reporter,
        nouns=modality.nouns,
        decodings=decodings,
        held_out=request.val_split,
    )


def _expected(
    request: Request,
    resolved: Resolved,
    strategy: ChosenStrategy | None,
    registry: Registry,
    device: torch.device,
) -> Sequence[Decoding]:
    """How inputs will be decoded once, as far as is known before the data is."""
    weights = (
        None if resolved.loader else choose(resolved.spec, weights_name(resolved, request.weights))
    )
    pretrained = weights is not None or resolved.loader is not None
    modality = modality_of(resolved.spec)
    spec = for_weights(resolved.spec, weights)
    decodings = modality.decodings(spec, request.of(modality.options), pretrained=pretrained)
    if not decodings:
        return ()
    recipe = request.recipe(
        Recipe.default(
            spec.modality,
            pretrained=pretrained,
            strategy=request.strategy,
            preset=request.preset,
        )
    )
    epochs = _epochs(strategy or find_strategy(recipe.strategy, registry), recipe)
    worth = worth_decoding(request.cache_images, decodings[0], device=device, epochs=epochs)
    return decodings if worth else ()


def _epochs(strategy: ChosenStrategy, recipe: Recipe) -> int:
    """Passes over the inputs with the backbone in training."""
    try:
        phases = strategy.phases(replace(recipe, freeze_until=None), stages=())
    except ZooError:  # it depends on the stages
        return recipe.epochs
    return sum(phase.epochs for phase in phases if phase.trains_backbone)
