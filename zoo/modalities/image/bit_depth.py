"""Images with more than 8 bits per pixel: one value range for a whole dataset.

X-rays store 12 bits in 16, CT numbers are negative, satellite images are floats: files do not state
which values are black and white. The range is estimated from all training images, or given by the
user, and recorded with the run, which always uses the same one. Values stay 32-bit floats.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ValueRange: TypeAlias = tuple[float, ...]
"""The values of black and of white; empty where images have 8 bits."""

OVERSAMPLING = 2
"""An image is decoded at no less than this many times the size that is asked for: a decoder's
reduction is coarser than the resizing after it."""

SCALED = "zoo: 0 to 255"
"""In the ``info`` of an image that has been scaled already, as decoded ones in the cache have."""

_SHARE = 0.001
"""Of an image's pixels, at either end, that do not count for its range: dead pixels, labels."""

_RARE = 0.02
"""Of the images, at either end, that do not count for the range of a dataset."""

_MOST_SAMPLED = 2**20  # pixels of one image from which its range is found

_STRIP = 2**22  # pixels that are scaled at a time

_NODATA = 42113  # GDAL's tag of TIFF


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey with 16 or 32 bits or floats, and not scaled yet."""
    return SCALED not in image.info and image.mode.startswith(("I", "F"))


def nodata_of(image: Image.Image) -> float | None:
    """Return the value of pixels without data in an image as it was opened.

    GDAL writes it to TIFFs. ``None`` if there is none, or it is NaN, which is never data.
    """
    try:
        value = float(str(getattr(image, "tag_v2", {}).get(_NODATA, "nan")).strip(" \0"))
    except ValueError:
        return None
    return None if np.isnan(value) else value


def scaled(
    image: Image.Image,
    values: ValueRange,
    size: int | None = None,
    *,
    nodata: float | None = None,
) -> Image.Image:
    """A deep image as floats of 0 to 255, mode ``F``.

    Args:
        image: As it was opened, or rotated.
        values: The values that become 0 and 255; others are clipped. NaN becomes 0.
        size: The shorter side needed, in pixels; a larger image is averaged over blocks, to at
            least twice that size.
        nodata: The value of pixels without data, which become 0.
    """
    factor = 1 if size is None else max(1, min(image.size) // (OVERSAMPLING * size))
    width, height = image.size
    whole = Image.new("F", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _STRIP // (width * factor))
    for top in range(0, height, rows):  # all at once would take several times the image's memory
        strip = image.crop((0, top, width, min(top + rows, height)))
        part = Image.fromarray(scaled_values(np.asarray(strip), values, nodata))
        whole.paste(part.reduce(factor) if factor > 1 else part, (0, top // factor))
    return whole


def scaled_values(
    grey: NDArray[np.generic], values: ValueRange, nodata: float | None
) -> NDArray[np.float32]:
    """Scale an array of any shape to floats from 0 to 255; arguments as for :func:`scaled`."""
    low, high = values
    wide = np.nan_to_num(grey.astype(np.float64), nan=low, posinf=high, neginf=low)
    if nodata is not None:
        wide[without_data(grey, nodata)] = low
    return np.clip((wide - low) * (255 / (high - low)), 0, 255).astype(np.float32)


def without_data(grey: NDArray[np.generic], nodata: float) -> NDArray[np.bool_]:
    """Which pixels have no data: ``nodata`` in the precision of the file."""
    close: NDArray[np.bool_] = np.isclose(grey.astype(np.float64), nodata, rtol=1e-6, atol=0)
    return close


def own_range(image: Image.Image, nodata: float | None = None) -> ValueRange:
    """The range of nearly all pixels of one image; its ends are never equal."""
    low, high = extent(image, nodata)
    return (low, high) if low < high else (low, low + 1)


def extent(image: Image.Image, nodata: float | None = None) -> tuple[float, float]:
    """The 0.1 % and 99.9 % quantiles of an image."""
    found = spread(image, nodata)
    return (found.low, found.high) if np.isfinite(found.low) else (0.0, 0.0)


class Spread(NamedTuple):
    """Quantiles of the values of an image; NaN if it has none.

    Attributes:
        low: The 0.1 % quantile.
        middle: The median.
        high: The 99.9 % quantile.
        lacks: Whether there are pixels without data.
    """

    low: float
    middle: float
    high: float
    lacks: bool


def spread(image: Image.Image, nodata: float | None = None) -> Spread:
    """Quantiles of a deep image, without ``nodata`` pixels and NaN."""
    return spread_of(_sampled(image), nodata)


def spread_of(grey: NDArray[Any], nodata: float | None = None) -> Spread:
    """Like :func:`spread`, for a flat array."""
    lacks = False
    if nodata is not None:
        none = without_data(grey, nodata)
        lacks, grey = bool(none.any()), grey[~none]
    grey = grey[np.isfinite(grey)]
    if not len(grey):
        return Spread(math.nan, math.nan, math.nan, lacks)
    least, greatest = int(_SHARE * len(grey)), len(grey) - 1 - int(_SHARE * len(grey))
    if least == 0 and len(grey) > 16:  # a single odd pixel of a small image
        least, greatest = 1, len(grey) - 2
    middle = len(grey) // 2
    ordered = np.partition(grey, (least, middle, greatest))
    low, median, high = (float(ordered[place]) for place in (least, middle, greatest))
    return Spread(low, median, high, lacks)


def _sampled(image: Image.Image) -> NDArray[Any]:
    """The values of an image as a flat array; a sample of them if it is large."""
    stride = max(1, round((image.width * image.height / _MOST_SAMPLED) ** 0.5))
    rows = range(0, image.height, stride)
    if stride == 1:
        return np.asarray(image).ravel()
    lines = [image.crop((0, row, image.width, row + 1)) for row in rows]
    return np.concatenate([np.asarray(line)[0, ::stride] for line in lines])


def common_range(
    lows: NDArray[np.float64], highs: NDArray[np.float64], *, whole: bool
) -> tuple[float, float]:
    """One range for the images of a dataset.

    Args:
        lows: The lower ends of :func:`extent`.
        highs: The upper ends.
        whole: Whether the values are integers. If none is negative, the range is that of a bit
            depth: 0 to 255, 4095, 65535, ….
    """
    lows, highs = lows[np.isfinite(lows)], highs[np.isfinite(highs)]
    if not len(lows):  # images without any data
        return 0.0, 1.0
    low = float(np.quantile(lows, _RARE, method="lower"))
    high = float(np.quantile(highs, 1 - _RARE, method="higher"))
    if whole and low >= 0:
        bits = max(8, int(high).bit_length())
        return 0.0, float(2**bits - 1)
    return (low, high) if low < high else (low, low + 1)
