"""Images for HTML pages, with or without heat maps."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 208
"""Side of an image in a page, in pixels."""

_QUALITY = 78

_DARK, _MIDDLE, _BRIGHT = "#0b0724", "#c0325b", "#ffe08a"
"""From no evidence to most; they differ in lightness, so that color vision is not needed."""


def image_uri(pixels: NDArray[np.uint8]) -> str:
    """An image, ``(size, size, 3)``, as a ``data:`` URI."""
    return _uri(_enlarged(Image.fromarray(pixels)))


def overlay_uri(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> str:
    """An image with a heat map, as a ``data:`` URI.

    Args:
        pixels: ``(size, size, 3)``.
        heat: ``(size, size)`` in [0, 1].
    """
    grey = _enlarged(Image.fromarray(pixels)).convert("L")
    mask = Image.fromarray((255 * heat).astype(np.uint8)).resize(
        grey.size, Image.Resampling.BICUBIC
    )
    glow = ImageOps.colorize(mask, black=_DARK, mid=_MIDDLE, white=_BRIGHT)
    return _uri(Image.blend(grey.convert("RGB"), glow, 0.6))


def whereabouts(heat: NDArray[np.float32]) -> str:
    """The hottest region in words: ``the upper left part``, ``the middle``; empty if there is none."""
    if not heat.any():
        return ""
    total = float(heat.sum())
    if float(heat.mean()) > 0.7:
        return "nearly all of it"
    size = len(heat)
    row, column = (
        float((heat.sum(axis=1 - axis) * np.arange(size)).sum()) / total for axis in (0, 1)
    )
    down = ("upper", "", "lower")[min(2, int(3 * (row + 0.5) / size))]
    across = ("left", "", "right")[min(2, int(3 * (column + 0.5) / size))]
    if not down and not across:
        return "the middle"
    return f"the {down} {across}".replace("  ", " ").rstrip() + " part"


def _enlarged(image: Image.Image) -> Image.Image:
    """Resize to :data:`SIDE` pixels; small images without interpolation."""
    small = image.width * 2 <= SIDE
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return image.resize((SIDE, SIDE), how)


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
