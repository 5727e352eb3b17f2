"""Images given as arrays and tensors."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.errors import BadFilesError

Array: TypeAlias = NDArray[Any]
"""``(H, W)`` or ``(H, W, C)``: unsigned bytes of 0 to 255, floats of 0 to 1, or values of more than
8 bits, whose range is found over the training images. A tensor is ``(C, H, W)``."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_array(given: object) -> bool:
    """Whether an object is an array of numbers or a tensor of an image; does not import torch."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    numbers = isinstance(given, np.ndarray) and given.dtype.kind in "buif"
    if not numbers and (tensor is None or not isinstance(given, tensor)):
        return False
    return getattr(given, "ndim", 0) in (2, 3)


def as_array(given: Any, name: str) -> Array:
    """An array or tensor as ``(H, W, C)``.

    Raises:
        BadFilesError: It has no pixels.
    """
    tensor = not isinstance(given, np.ndarray)
    array: Array = given.detach().cpu().numpy() if tensor else given
    if not array.size:
        raise BadFilesError(
            f"{name} has no pixels: its shape is {array.shape}",
            paths=(name,),
            hint="Arrays are (H, W) or (H, W, C), tensors (C, H, W).",
        )
    if array.ndim == 2:
        return array[..., None]
    return np.moveaxis(array, 0, -1) if tensor else array


def image_of(given: Any, name: str) -> Image.Image:
    """An array or tensor as an image of Pillow's.

    Raises:
        BadFilesError: Pillow has no such images.
    """
    array = as_array(given, name)
    channels = array.shape[-1]
    plain = array[..., 0] if channels == 1 else array
    if array.dtype == np.bool_:
        plain = plain.astype(np.uint8) * 255
    elif array.dtype.kind == "f" and in_unit_range(array):
        plain = np.rint(plain.astype(np.float64) * 255).astype(np.uint8)
    if plain.dtype == np.uint8 and channels in _MODES:
        return Image.fromarray(np.ascontiguousarray(plain), _MODES[channels])
    if channels == 1 and plain.dtype == np.uint16:
        return Image.fromarray(np.ascontiguousarray(plain))
    if channels == 1:
        return Image.fromarray(plain.astype(np.int32 if plain.dtype.kind in "iu" else np.float32))
    raise BadFilesError(
        f"{name} has {channels} channels of {array.dtype}, which is not an image",
        paths=(name,),
        hint="Use uint8 of 0 to 255 or floats of 0 to 1, with 1, 3 or 4 channels.",
    )


def in_unit_range(array: Array) -> bool:
    """Whether all values are in [0, 1]."""
    return bool(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1)
