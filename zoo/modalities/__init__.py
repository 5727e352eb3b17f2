"""Modalities, one folder each: reading, augmenting, collating, rendering. Start at modality.py."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.contract.spec import BackboneSpec
from zoo.errors import ContractError
from zoo.modalities.image.modality import IMAGE
from zoo.modalities.modality import Modality
from zoo.modalities.text.modality import TEXT

MODALITIES: Mapping[str, Modality] = {each.name: each for each in (IMAGE, TEXT)}
"""By name, in the order in which help and tables list them."""


def modality_of(spec: BackboneSpec) -> Modality:
    """The modality of a backbone's inputs.

    Raises:
        ContractError: There is no such modality.
    """
    return modality_named(spec.modality)


def modality_named(name: str) -> Modality:
    """The modality of that name.

    Raises:
        ContractError: There is no such modality.
    """
    if name not in MODALITIES:
        raise ContractError(
            f"no modality is called {name!r}", hint=f"Modalities: {', '.join(MODALITIES)}."
        )
    return MODALITIES[name]


__all__ = ["IMAGE", "MODALITIES", "TEXT", "Modality", "modality_named", "modality_of"]
