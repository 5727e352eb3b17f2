"""What is peculiar to images. Light to import: what needs torch or Pillow is imported when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALL = 64
"""Pixels of a side that are enough to try a network."""


@dataclass(frozen=True)
class ImageModality:
    """Images, ``pixel_values`` ``(B, 3, size, size)``; see :class:`zoo.modalities.Modality`."""

    name: str = "image"
    noun: str = "image"
    nouns: str = "images"
    main_input: str = "pixel_values"
    dtype: str = "float32"
    ragged: bool = False
    options: frozenset[str] = frozenset(
        {
            *("image_size", "resize", "value_range", "augment", "mixup", "cutmix"),
            *("cached_views", "cache_images"),
        }
    )

    def side(self, spec: BackboneSpec) -> int:
        """The size of the images."""
        return spec.image_input.size

    def normaliser(self, spec: BackboneSpec) -> Callable[[Tensor], Tensor]:
        """Images travel as bytes."""
        from zoo.modalities.image.transforms import Normalise

        return Normalise(spec.image_input)

    def shape_in_words(self, spec: BackboneSpec) -> str:
        """Pixels of a side."""
        return f"{spec.image_input.size} pixels"

    def random_batch(
        self,
        spec: BackboneSpec,
        count: int,
        *,
        size: int | tuple[int, int] | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """``pixel_values`` ``(count, 3, height, width)``; ``size`` is both, or each, in pixels."""
        import torch

        sides = size or spec.image_input.size
        height, width = sides if isinstance(sides, tuple) else (sides, sides)
        generator = torch.Generator().manual_seed(seed)
        return {"pixel_values": torch.randn(count, 3, height, width, generator=generator)}

    def padded_batch(self, spec: BackboneSpec) -> dict[str, Tensor]:
        """Images are not padded."""
        return self.random_batch(spec, 2)

    def small_size(self, spec: BackboneSpec) -> int:
        """The smallest height and width that the spec allows, not below :data:`SMALL`."""
        image = spec.image_input
        return (
            image.size if image.fixed_size else min(image.fitting(SMALL), image.fitting(image.size))
        )

    def largest_size(self, spec: BackboneSpec) -> int:
        """The very size that the spec states."""
        return spec.image_input.size

    def native_outputs(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Of the pixels; libraries' networks take no names."""
        outputs: Any = network(batch["pixel_values"])
        logits: Tensor = getattr(outputs, "logits", outputs)
        return logits


IMAGE = ImageModality()
