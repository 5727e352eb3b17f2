"""Thumbnails of image files, for pages."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from zoo.errors import ZooError
from zoo.modalities.image.reading import read_image


def jpeg_thumbnail(path: Path, side: int) -> bytes | None:
    """Return a JPEG of at most ``side`` × ``side`` pixels; ``None`` for an unreadable image.

    It is encoded from the pixels alone: no bytes of the file are passed on.
    """
    try:
        image = read_image(path, size=side, values="own")
    except ZooError:
        return None
    return small_jpeg(image, side)


def small_jpeg(image: Image.Image, side: int) -> bytes:
    """A JPEG of at most ``side`` × ``side`` pixels of an RGB image, which is shrunk."""
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
