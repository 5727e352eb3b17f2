"""The backbone for a dataset where the user names none."""

from __future__ import annotations

from zoo.errors import RunError
from zoo.modalities import modality_named
from zoo.ranking.candidates import find_candidates
from zoo.registry.registry import Registry

MOST_PARAMS = 30_000_000


def default_backbone(registry: Registry, modality: str) -> str:
    """The name of one with weights on this machine, or else to download.

    Of at most :data:`MOST_PARAMS` parameters, the one of the highest published accuracy, and of
    those the largest. Registered runs are left out: they may have learned the labels.

    Raises:
        RunError: There is none.
    """
    found, _ = find_candidates(registry, modality, max_params=MOST_PARAMS)
    usable = [each for each in found if each.resolved.run is None and each.weights is not None]
    if not usable:
        kind = modality_named(modality)
        raise RunError(
            f"no backbone for {kind.nouns} has weights on this machine or to download",
            hint="Name one with --backbone NAME, or with its file: --backbone NAME --weights PATH.",
        )
    best = max(usable, key=lambda each: (each.cached, each.accuracy, each.params))
    return best.name
