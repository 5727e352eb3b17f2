"""Read images into arrays of any number of channels, on the run's scale."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.errors import BadFilesError
from zoo.modalities.image.arrays import MODES, Array, FoundArray, in_unit_range, is_tiff, read_tiff
from zoo.modalities.image.bit_depth import ValueRange, is_deep, nodata_of, scaled_values
from zoo.modalities.image.reading import (
    content_of,
    found_in,
    on_white,
    opened_as,
    unreadable,
    upright,
)
from zoo.modalities.image.traits import Traits, note_array, note_traits, note_values

Bands: TypeAlias = NDArray[Any]
"""``(H, W, C)``: bytes, or float32 of 0 to 255."""

_COLOUR = 3


def read_bands(
    source: Any,
    channels: int,
    values: ValueRange,
    *,
    name: str,
    traits: Traits | None = None,
) -> Bands:
    """Decode an image to an array with ``channels`` channels.

    8-bit values stay bytes. Floats in [0, 1], if there is no value range, and values of more than
    8 bits, by the value range of the run, become floats from 0 to 255.

    Args:
        source: A path, encoded bytes, an image of Pillow's, an array or a tensor.
        channels: Number of channels. For 1, colour images become grey; for 4, images without alpha
            are opaque; for 3, the first three of more bands are used.
        values: The values of black and white in images with more than 8 bits.
        name: The name of the image in errors.
        traits: One row to fill with the image's traits.

    Raises:
        BadFilesError: It cannot be read, has other channels, or is deeper and there is no range.
    """
    array, nodata = _decoded(source, channels, name, traits)
    array = _with_channels(array, channels, values, name)
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if values:
        return scaled_values(array, values, nodata)
    if in_unit_range(array):
        return (array * 255).astype(np.float32)
    raise BadFilesError(
        f"{name} has more than 8 bits per pixel, but the training images had 8 bits, so its "
        "value range is not known",
        paths=(name,),
        hint="Convert it to 8 bits or to floats of 0 to 1, or train with --range LOW HIGH.",
    )


def _decoded(
    source: Any, channels: int, name: str, traits: Traits | None
) -> tuple[Array, float | None]:
    """The values of an image, and the one of pixels without data."""
    found = found_in(source, name)
    if not isinstance(found, FoundArray) and channels > max(MODES):
        pages = _pages(found, name)
        found = pages or found
    if isinstance(found, FoundArray):
        if traits is not None:
            note_array(found, traits)
        return found

    def read(image: Image.Image) -> tuple[Array, float | None]:
        if traits is not None:
            note_traits(image, traits)
        nodata = nodata_of(image)
        image.load()
        if is_deep(image):
            if traits is not None:
                note_values(image, traits)
            return np.asarray(upright(image))[..., None], nodata
        return _of_bytes(upright(image), channels), None

    return opened_as(found, read, name)


def _pages(source: Any, name: str) -> FoundArray | None:
    """The pages of a TIFF as bands."""
    if isinstance(source, Image.Image) or not isinstance(source, (str, bytes, os.PathLike)):
        return None
    content = content_of(source)
    if not is_tiff(content):
        return None
    return unreadable(lambda: read_tiff(content), name)


def _of_bytes(image: Image.Image, channels: int) -> Array:
    """An 8-bit image; grey or colour if Pillow has no mode with that number of channels."""
    mode = MODES.get(channels, "RGB")
    if "A" not in mode and image.has_transparency_data:
        image = on_white(image)
    array = np.asarray(image.convert(mode))
    return array[..., None] if array.ndim == 2 else array


def _with_channels(array: Array, channels: int, values: ValueRange, name: str) -> Array:
    present = array.shape[-1]
    if present == channels:
        return array
    if channels == _COLOUR and present == 1:
        return np.repeat(array, channels, axis=-1)
    if channels == _COLOUR and present > channels:
        return array[..., :channels]
    if channels == 1 and present == _COLOUR:
        weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as Pillow's
        grey = (array.astype(np.float32) @ weights)[..., None]
        return np.rint(grey).astype(np.uint8) if array.dtype == np.uint8 else grey
    if channels == _COLOUR + 1 and present == _COLOUR:
        opaque = 255 if array.dtype == np.uint8 else (values[1] if values else 1)
        return np.concatenate([array, np.full_like(array[..., :1], opaque)], axis=-1)
    raise BadFilesError(
        f"{name} has {present} channel{'s' if present > 1 else ''}, but the network takes {channels}",
        paths=(name,),
        hint="Use images with the same channels, set --channels N, or skip such files with "
        "--bad-files skip.",
    )
