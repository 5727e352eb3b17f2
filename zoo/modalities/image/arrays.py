"""Images as arrays ``(H, W, C)``: given in memory, ``.npy`` files, TIFFs with many bands."""

from __future__ import annotations

import importlib.util
import io
import math
import sys
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.errors import BadFilesError

Array: TypeAlias = NDArray[Any]
"""``(H, W)`` or ``(H, W, C)``: bytes of 0 to 255, floats of 0 to 1, or values of more than 8 bits,
whose range is found over the training images. A tensor is ``(C, H, W)``."""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's modes of 8 bits, by the number of channels."""

MAX_BYTES = 2**31
"""The largest array that is decoded, in bytes."""

_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FEW = 64  # channels; an array with fewer rows than that, and fewer than columns, is (C, H, W)


class FoundArray(NamedTuple):
    """An image that Pillow cannot represent: ``(H, W, C)``, and the value of pixels without data."""

    values: Array
    nodata: float | None = None


class NoArray(Exception):
    """Encoded bytes that cannot be read as an array; the message says why."""


def is_array(given: object) -> bool:
    """Whether an object is an array of numbers or a tensor of an image; does not import torch."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    numbers = isinstance(given, np.ndarray) and given.dtype.kind in "buif"
    if not numbers and (tensor is None or not isinstance(given, tensor)):
        return False
    return getattr(given, "ndim", 0) in (2, 3)


_AXES = "Arrays are (H, W) or (H, W, C), tensors (C, H, W)."
_USUAL_CHANNELS = (1, 3, 4)
_MOST_CHANNELS = 16
"""More than that at the place of the channels, and 1, 3 or 4 at that of the height, are swapped axes."""


def as_array(given: Any, name: str) -> Array:
    """An array or tensor as ``(H, W, C)``.

    Raises:
        BadFilesError: It has no pixels, or its axes are in the order of the other kind.
    """
    tensor = not isinstance(given, np.ndarray)
    array: Array = given.detach().cpu().numpy() if tensor else given
    if not array.size:
        raise BadFilesError(
            f"{name} has no pixels: its shape is {array.shape}",
            paths=(name,),
            hint=_AXES,
        )
    ends = array.shape[::-1] if tensor else array.shape
    if array.ndim == 3 and ends[0] in _USUAL_CHANNELS and min(ends[1:]) > _MOST_CHANNELS:
        kind, right = ("tensor", "permute(2, 0, 1)") if tensor else ("array", "transpose(1, 2, 0)")
        raise BadFilesError(
            f"{name} is {'a' if tensor else 'an'} {kind} of the shape {array.shape}, with its channels at the wrong end",
            paths=(name,),
            hint=f"{_AXES} Use {kind}.{right}.",
        )
    if array.ndim == 2:
        return array[..., None]
    return np.moveaxis(array, 0, -1) if tensor else array


def image_of(array: Array) -> Image.Image | None:
    """An array ``(H, W, C)`` as an image of Pillow's; ``None`` if it has no such images."""
    channels = array.shape[-1]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype.kind == "f" and (whole := _as_bytes(array)) is not None:
        array = whole
    plain = np.ascontiguousarray(array[..., 0] if channels == 1 else array)
    if plain.dtype == np.uint8 and channels in (1, 3, 4):
        return Image.fromarray(plain)
    if channels == 1 and plain.dtype == np.uint16:
        return Image.fromarray(plain)
    if channels == 1 and plain.dtype.kind in "iu":
        return Image.fromarray(plain.astype(np.int32))
    return None


def _as_bytes(array: Array) -> Array | None:
    """Convert floats that are bytes divided by 255 back to bytes; ``None`` for other values."""
    if not in_unit_range(array):
        return None
    scaled = array.astype(np.float32) * 255
    whole = np.rint(scaled)
    return whole.astype(np.uint8) if np.abs(scaled - whole).max() < 1e-3 else None


def has_tifffile() -> bool:
    """Whether tifffile is installed, which reads TIFFs with any number of bands."""
    return importlib.util.find_spec("tifffile") is not None


def in_unit_range(array: Array) -> bool:
    """Whether an array holds floats, all of them in [0, 1]."""
    if array.dtype.kind != "f":
        return False
    return bool(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1)


def shown(found: FoundArray) -> Image.Image:
    """Convert an array to RGB for display: its first three bands, or the first, each rescaled."""
    array = found.values.astype(np.float64)
    if found.nodata is not None:
        array[array == found.nodata] = np.nan
    picked = array[..., :3] if array.shape[-1] >= 3 else np.repeat(array[..., :1], 3, axis=-1)
    return Image.fromarray(np.stack([_stretched(picked[..., i]) for i in range(3)], axis=-1))


def grey(found: FoundArray) -> Image.Image:
    """The mean of all bands, each rescaled to its own range."""
    bands = [_stretched(found.values[..., i]) for i in range(found.values.shape[-1])]
    return Image.fromarray(np.mean(bands, axis=0).astype(np.uint8))


def _stretched(band: Array) -> NDArray[np.uint8]:
    values = band.astype(np.float64)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    plain = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return ((plain - low) * (255 / (high - low or 1))).astype(np.uint8)


# -- files -------------------------------------------------------------------------------------


def is_npy(content: bytes) -> bool:
    """Whether encoded bytes are those of a ``.npy`` file."""
    return content.startswith(_NPY)


def is_tiff(content: bytes) -> bool:
    """Whether encoded bytes are those of a TIFF."""
    return content.startswith(_TIFF)


def read_npy(content: bytes) -> Array:
    """The array ``(H, W, C)`` of a ``.npy`` file, never a pickle.

    Raises:
        NoArray: It is damaged, or is not an image.
    """
    try:
        _require_whole(content)
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (
        ValueError,
        EOFError,
        OSError,
        SyntaxError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise NoArray(f"not a readable .npy file ({error})".split("\n")[0]) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise NoArray(f"an array of {getattr(array, 'dtype', type(array))}, not of numbers")
    return _channels_last(array)


def _require_whole(content: bytes) -> None:
    """Raise a ``ValueError`` if a ``.npy`` file claims more values than it has, before allocating."""
    file = io.BytesIO(content)
    major, _ = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    declared, available = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if declared > available:
        raise ValueError(
            f"its header declares {declared:,} bytes of values, but it contains {available:,}"
        )


def read_tiff(content: bytes) -> FoundArray:
    """All bands of a TIFF.

    Pages of the same size count as bands, unless there is a photometric interpretation with several
    samples a pixel.

    Raises:
        NoArray: It is damaged, too large, or tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError as error:
        raise NoArray(
            "reading a TIFF with these bands needs tifffile: pip install tifffile imagecodecs"
        ) from error
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            series = file.series[0]
            size = math.prod(series.shape) * np.dtype(series.dtype).itemsize
            if size > MAX_BYTES:
                raise NoArray(f"it expands to {size:,} bytes; the limit is {MAX_BYTES:,}")
            tag = file.pages.first.tags.get(42113)  # GDAL's nodata
            nodata = None if tag is None else _number(tag.value)
            array, axes = series.asarray(), series.axes
    except NoArray:
        raise
    except Exception as error:  # whatever a damaged file triggers
        raise NoArray(
            f"not a readable TIFF ({type(error).__name__}: {error})".split("\n")[0]
        ) from error
    if "S" in axes and array.ndim == 3:
        return FoundArray(np.moveaxis(array, axes.index("S"), -1), nodata)
    return FoundArray(_channels_last(array), nodata)


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).strip(" \0"))
    except ValueError:
        return None
    return None if np.isnan(number) else number


def _channels_last(array: Array) -> Array:
    """``(H, W, C)`` from that, from ``(H, W)``, or from ``(C, H, W)`` with few channels."""
    if array.ndim == 2 and array.size:
        return array[..., None]
    if array.ndim != 3 or not array.size:
        raise NoArray(f"an array of shape {array.shape}, expected (H, W) or (H, W, C)")
    first, height, last = array.shape
    if first < min(height, last) and first <= _FEW:
        return np.moveaxis(array, 0, -1)
    return array
