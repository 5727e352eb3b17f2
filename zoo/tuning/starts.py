"""The backbones that a search begins with: those whose weights are here, or that the user names."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import UsageError
from zoo.ranking.candidates import UNPUBLISHED, Candidate, find_candidates, in_order
from zoo.registry.registry import Registry

MOST = 8
"""How many backbones are probed if the user names none."""


def find_starts(
    registry: Registry, modality: str, names: Sequence[str]
) -> tuple[list[Candidate], int]:
    """The candidates, the most promising first, and how many more there are.

    Their order is that of ``zoo recommend`` before it measures anything.

    Args:
        registry: Names and plugins.
        modality: Modality of the data.
        names: Names and patterns of the user; empty for whatever has weights on this machine.

    Raises:
        NameLookupError: A name is unknown.
        UsageError: No backbone is left, or one that was named cannot be used.
    """
    found, left_out = find_candidates(registry, modality, names)
    if not names:
        here = [each for each in found if each.cached]
        if not here:
            raise UsageError(
                "no backbone for such data has weights on this machine",
                hint="Name some with --backbones, or download weights with 'zoo download'.",
            )
        return here[:MOST], max(0, len(here) - MOST)
    scratch = [each.name for each in left_out if each.reason == UNPUBLISHED]
    random, _ = find_candidates(registry, modality, scratch, random=True) if scratch else ([], ())
    for each in left_out:
        if each.reason != UNPUBLISHED:
            raise UsageError(
                f"{each.name} cannot be searched: {each.reason}",
                hint="Leave it out of --backbones; 'zoo list' shows the backbones.",
            )
    return in_order([*found, *random]), 0
