"""What is peculiar to images. Light to import: what needs torch or Pillow is imported when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.contract.backbone import Backbone
    from zoo.modalities.exporting import ExportInputs

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

    def export_inputs(self, backbone: Backbone, *, tokenizer: Any, pairs: bool) -> ExportInputs:  # noqa: ARG002 - texts have them
        """See :mod:`zoo.modalities.image.exporting`."""
        from zoo.modalities.image.exporting import ImageExport

        return ImageExport(backbone.spec)

    def random_batch(
        self,
        spec: BackboneSpec,
        count: int,
        *,
        size: int | tuple[int, int] | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Pixels; ``size`` is height and width."""
        from zoo.modalities.image.noise import random_batch

        return random_batch(spec, count, size=size, seed=seed)

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
