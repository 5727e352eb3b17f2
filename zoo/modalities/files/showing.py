"""Small images of files, for pages that list them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError
from zoo.modalities.files.reading import calling, read_sample
from zoo.modalities.image.thumbnails import small_jpeg

if TYPE_CHECKING:
    from zoo.modalities.files.functions import FileFunctions


def thumbnail(modality: FileFunctions, path: Path, side: int) -> bytes | None:
    """A preview as a JPEG of at most ``side`` pixels; ``None`` if there is none."""
    from PIL import Image

    if modality.preview is None:
        return None
    try:
        sample = read_sample(modality, str(path), str(path))
        with calling(modality, "preview"):
            image = Image.fromarray(in_color(modality.preview(sample)))
    except ZooError:
        return None
    return small_jpeg(image, side)


def in_color(pixels: Any) -> NDArray[np.uint8]:
    """Pixels ``(height, width)`` or ``(height, width, 3)`` as the latter."""
    given = np.asarray(pixels, dtype=np.uint8)
    return np.repeat(given[:, :, None], 3, axis=2) if given.ndim == 2 else given
