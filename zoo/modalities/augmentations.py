"""Augmentations by name; plugins add theirs through ``zoo_augmentations``. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.contract.extensions import AugmentationSpec
from zoo.errors import UsageError
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.registry import Registry, find_offer

AUGMENTATION = OfferKind(
    noun="augmentation",
    plural="augmentations",
    hook="zoo_augmentations",
    holds=AugmentationSpec,
    training_only=True,
)

NONE = "none"
"""Nothing beyond crops and flips."""

AUGMENTATIONS: Mapping[str, AugmentationSpec] = {
    "trivial": AugmentationSpec(
        apply="zoo.modalities.image.augmenting:trivial",
        apply_batch="zoo.modalities.image.trivial_batch:trivial_batch",
    )
}
"""zoo's own augmentations."""


def find_augmentation(
    name: str, modality: str, registry: Registry | None = None
) -> Offer[AugmentationSpec] | None:
    """The augmentation of that name; ``None`` for :data:`NONE`.

    Args:
        name: Bare, or ``plugin/name``.
        modality: The modality of the inputs.
        registry: Plugins to search; the installed ones by default.

    Raises:
        NameLookupError: There is no such augmentation, or several plugins offer it.
        UsageError: It is for another modality.
        PluginError: Its plugin cannot be used.
    """
    if name == NONE:
        return None
    offer = find_offer(AUGMENTATION, name, AUGMENTATIONS, registry)
    if offer.value.modality != modality:
        raise UsageError(
            f"--augment {name} is for the modality {offer.value.modality!r}, not {modality!r}",
            hint="Remove --augment, or choose another augmentation.",
        )
    return offer
