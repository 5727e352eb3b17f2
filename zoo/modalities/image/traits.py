"""Traits of each image that are found by decoding it once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.modalities.image.arrays import FoundArray, in_unit_range
from zoo.modalities.image.bit_depth import (
    ValueRange,
    common_range,
    is_deep,
    nodata_of,
    spread,
    spread_of,
)

Traits: TypeAlias = NDArray[Any]
"""``(N,)`` of :data:`TRAITS`."""

TRAITS = np.dtype(
    [
        ("length", np.float32),  # the longer side over the shorter one
        ("frames", np.bool_),  # there are more than the first
        ("bands", np.bool_),  # there are more than the ones that are read
        ("halved", np.bool_),  # of 16 bits a colour 8 are read
        ("deep", np.bool_),
        ("whole", np.bool_),  # deep, and of whole numbers
        ("low", np.float64),  # deep: where nearly all values lie; NaN where there are none
        ("middle", np.float64),  # deep: the median
        ("high", np.float64),
        ("nodata", np.bool_),  # deep: there are pixels that stand for none
        ("channels", np.int32),
        ("array", np.bool_),  # Pillow has no such images
        ("unit", np.bool_),  # an array of floats in [0, 1]
    ]
)

_PREVIEWS = frozenset(("MPO", "ICO"))  # their other frames are the same image, smaller

_SAMPLED = 2**20  # values of an array from which its range is found

_SAMPLES_A_PIXEL = 277  # a tag of TIFF's


def note_traits(image: Image.Image, traits: Traits) -> None:
    """Fill one row of traits, from an image as it was opened."""
    width, height = image.size
    traits["length"] = max(width, height) / max(1, min(width, height))
    traits["frames"] = image.format not in _PREVIEWS and getattr(image, "is_animated", False)
    samples = getattr(image, "tag_v2", {}).get(_SAMPLES_A_PIXEL, 1)
    traits["bands"] = samples > len(image.getbands())
    traits["channels"] = max(samples, len(image.getbands()))
    traits["halved"] = is_halved(image)


def note_values(image: Image.Image, traits: Traits) -> None:
    """Fill in the traits that need the pixels."""
    if is_deep(image):
        traits["deep"], traits["whole"] = True, image.mode != "F"
        found = spread(image, nodata_of(image))
        traits["low"], traits["middle"], traits["high"] = found.low, found.middle, found.high
        traits["nodata"] = found.lacks


def note_array(found: FoundArray, traits: Traits) -> None:
    """Fill one row of traits."""
    array = found.values
    height, width = array.shape[:2]
    traits["length"] = max(width, height) / max(1, min(width, height))
    traits["channels"], traits["array"] = array.shape[-1], True
    traits["deep"] = array.dtype not in (np.uint8, np.bool_)
    if traits["deep"]:
        traits["whole"], traits["unit"] = array.dtype.kind in "iu", in_unit_range(array)
        stride = max(1, round((array.size / _SAMPLED) ** 0.5))
        lie = spread_of(array[::stride, ::stride].ravel(), found.nodata)
        traits["low"], traits["middle"], traits["high"] = lie.low, lie.middle, lie.high
        traits["nodata"] = lie.lacks


def is_halved(image: Image.Image) -> bool:
    """Whether Pillow reads 8 of 16 bits a channel."""
    return not is_deep(image) and any("16" in _raw_mode(t) for t in _tiles(image))


def has_more_bands(image: Image.Image) -> bool:
    """Whether a TIFF has more bands than Pillow reads."""
    samples = getattr(image, "tag_v2", {}).get(_SAMPLES_A_PIXEL, 1)
    return bool(samples > len(image.getbands()))


def _tiles(image: Image.Image) -> list[Any]:
    return getattr(image, "tile", None) or []


def _raw_mode(tile: Any) -> str:
    """The raw mode of Pillow's decoder, such as ``RGB;16B``."""
    args = tile[3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def range_of(traits: Traits | None) -> ValueRange:
    """The common value range of the deep images; empty if there are none."""
    if traits is None or not traits["deep"].any():
        return ()
    deep = traits[traits["deep"]]
    if deep["unit"].all():
        return 0.0, 1.0
    return common_range(deep["low"], deep["high"], whole=bool(deep["whole"].all()))
