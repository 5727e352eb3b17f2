"""Views of a batch for test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

View: TypeAlias = "Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]"
"""From a batch on the device to the same inputs, seen otherwise."""
