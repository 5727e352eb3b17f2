"""Presets: named sets of other defaults, from fast to thorough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Defaults that differ from the usual ones; the user's options take precedence over them.

    Attributes:
        pretrained: Fields of the recipe where training starts from weights.
        scratch: The same where it starts from random parameters.
    """

    pretrained: Mapping[str, Any]
    scratch: Mapping[str, Any]

    def of(self, *, pretrained: bool) -> Mapping[str, Any]:
        """The fields for a start."""
        return self.pretrained if pretrained else self.scratch


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(pretrained={"strategy": "probe"}, scratch={"epochs": 3}),
    "balanced": Preset(pretrained={}, scratch={}),
    "best": Preset(
        pretrained={"epochs": 20, "augment": "trivial", "ema": 0.99},
        scratch={"epochs": 60, "augment": "trivial", "ema": 0.99},
    ),
}
"""A probe tells nothing from random parameters, so that ``fast`` there is a short training.
TrivialAugment and the average of the weights need many epochs to pay off, so only ``best`` has them."""
