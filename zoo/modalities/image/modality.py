"""What is peculiar to images. Light to import: what needs torch or Pillow is imported when called."""

from __future__ import annotations

from dataclasses import dataclass


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


IMAGE = ImageModality()
