"""Decode images of any mode and format to RGB."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo.errors import BadFilesError, first_line
from zoo.modalities.image.arrays import (
    Array,
    FoundArray,
    NoArray,
    as_array,
    has_tifffile,
    image_of,
    is_array,
    is_npy,
    is_tiff,
    read_npy,
    read_tiff,
    shown,
)
from zoo.modalities.image.bit_depth import (
    OVERSAMPLING,
    SCALED,
    ValueRange,
    is_deep,
    nodata_of,
    own_range,
    scaled,
)
from zoo.modalities.image.formats import (
    is_too_much_metadata,
    known_formats,
    missing_plugin,
    without_metadata,
)
from zoo.modalities.image.traits import (
    Traits,
    has_more_bands,
    is_halved,
    note_traits,
    note_values,
)
from zoo.system.files import is_utf8

# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga", ".ico", ".heic", ".heif", ".jxl",
    ".npy",
))
# fmt: on
"""File extensions of images. HEIC is among them although Pillow alone does not read it
(:mod:`zoo.modalities.image.formats`): unreadable images are reported, unknown extensions ignored."""

MAX_PIXELS = 178_956_970
"""Larger images are refused, by Pillow too; reading one of this size takes up to 1.6 GB."""

MAX_FILE_BYTES = 2**30
"""The largest file that is read as an image, in bytes."""

RESIZABLE = frozenset(("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"))
"""Modes that can be resized before conversion to RGB."""

LARGEST = 2**31 - 1
"""Every size that is asked for is at most this, in pixels."""

_STRIP = 2**22  # pixels composited on white at a time

_MAY_BE_ARRAYS = frozenset((".npy", ".tif", ".tiff"))

_T = TypeVar("_T")


def looks_like_image(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` has the extension of an image."""
    return os.path.splitext(path)[1].lower() in SUFFIXES


def read_image(
    source: str | os.PathLike[str] | bytes | Image.Image | Array,
    *,
    size: int | None = None,
    name: str | None = None,
    values: ValueRange | Literal["own"] = (),
    traits: Traits | None = None,
) -> Image.Image:
    """Decode an image to RGB, with EXIF orientation applied and transparency on white.

    Grayscale images with more than 8 bits become floats of 0 to 255 in one band, mode ``F``
    (:mod:`zoo.modalities.image.bit_depth`).

    Args:
        source: A path, encoded bytes, an open image, or an array or tensor.
        size: The shorter side needed, in pixels. Large JPEGs are decoded at a half, a quarter or
            an eighth, but at no less than twice that size.
        name: The name of the image in errors, if ``source`` is not a path.
        values: The values of black and white in images with more than 8 bits; ``own`` uses the
            image's own range and converts to RGB, for display.
        traits: One row to fill with the image's traits.

    Raises:
        BadFilesError: It is not an image or is damaged, or has more than 8 bits and ``values`` is
            empty; the message names it.
    """
    path = name or (os.fspath(source) if isinstance(source, (str, os.PathLike)) else "the image")
    found = found_in(source, path)
    if isinstance(found, FoundArray):
        if values == "own":
            return shown(found)
        raise BadFilesError(
            f"{path} has {found.values.shape[-1]} channels of {found.values.dtype}, so it is "
            "neither an 8-bit image nor a grey one",
            paths=(path,),
            hint="Train with --channels N to use all of them.",
        )
    if isinstance(found, Image.Image):
        return read_opened(found, size, path, values, traits)

    def read(image: Image.Image) -> Image.Image:
        if size is not None:
            reduce_jpeg(image, OVERSAMPLING * size)
        return read_opened(image, size, path, values, traits)

    return opened_as(found, read, path)


def opened_as(source: Any, use: Callable[[Image.Image], _T], name: str) -> _T:
    """``use(image)`` of an image of Pillow's, a path or encoded bytes.

    Raises:
        BadFilesError: It is not an image, or is damaged.
    """
    if isinstance(source, Image.Image):
        return use(source)
    try:
        return with_opened(source, use)
    except BadFilesError:
        raise
    # Pillow's readers raise whatever a damaged file triggers: OSError, SyntaxError, ValueError,
    # struct.error, zlib.error, IndexError, DecompressionBombError, …
    except Exception as error:
        raise _unreadable(name, reason_of(error, name)) from error


def _unreadable(name: str, reason: str) -> BadFilesError:
    return BadFilesError(
        f"{name} cannot be read as an image: {reason}",
        paths=(name,),
        hint="Fix or remove the file, or skip such files with --bad-files skip.",
    )


def unreadable(read: Callable[[], _T], name: str) -> _T:
    """Return ``read()``; turn its errors into messages for the user.

    Raises:
        BadFilesError: The image cannot be read as an array.
    """
    try:
        return read()
    except NoArray as error:
        raise _unreadable(name, str(error)) from error


def found_in(source: Any, name: str) -> Any:
    """Return an array, if Pillow cannot represent it; else a Pillow image, or ``source`` itself.

    Raises:
        BadFilesError: An array or file is damaged.
    """
    if is_array(source):
        return _as_found(as_array(source, name))
    if isinstance(source, (Image.Image, FoundArray)):
        return source
    if not isinstance(source, bytes) and Path(source).suffix.lower() not in _MAY_BE_ARRAYS:
        return source
    try:
        content = content_of(source)
        if is_npy(content):
            return _as_found(read_npy(content))
        if is_tiff(content) and _is_beyond_pillow(content):
            return read_tiff(content)
    except NoArray as error:
        raise _unreadable(name, str(error)) from error
    except (OSError, ValueError):  # reported by whatever opens it
        return source
    return source


def _as_found(array: Array) -> Image.Image | FoundArray:
    image = image_of(array)
    return FoundArray(array) if image is None else image


def content_of(source: str | os.PathLike[str] | bytes) -> bytes:
    """The encoded bytes of an image.

    Raises:
        OSError, ValueError: As of :func:`_file`.
    """
    return source if isinstance(source, bytes) else _file(source).read_bytes()


def _is_beyond_pillow(content: bytes) -> bool:
    """Whether tifffile is installed, and Pillow cannot read a TIFF or not all of its bands and bits."""
    if not has_tifffile():
        return False
    try:
        with _opened(content) as image:
            return is_halved(image) or has_more_bands(image)
    except UnidentifiedImageError:
        return True
    except Exception:  # reported when it is read
        return False


def read_opened(
    image: Image.Image,
    size: int | None,
    name: str,
    values: ValueRange | Literal["own"],
    traits: Traits | None = None,
) -> Image.Image:
    """:func:`read_image` for an open image."""
    if SCALED in image.info:
        return image
    if traits is not None:
        note_traits(image, traits)
    if not is_deep(image):
        return as_rgb(upright(image))
    if not values:
        raise BadFilesError(
            f"{name} has more than 8 bits per pixel, but the training images had 8 bits, so its "
            "value range is not known",
            paths=(name,),
            hint="Convert it to 8 bits, or train with --range LOW HIGH.",
        )
    image.load()
    nodata = nodata_of(image)
    if values == "own":
        shown = scaled(upright(image), own_range(image, nodata), size, nodata=nodata)
        return shown.convert("L").convert("RGB")
    assert not isinstance(values, str)
    if traits is not None:
        note_values(image, traits)
    return scaled(upright(image), values, size, nodata=nodata)


def _file(path: str | os.PathLike[str]) -> Path:
    """``path``, if it is a regular file of a plausible size.

    Raises:
        OSError: It does not exist, or cannot be read.
        ValueError: It is not a regular file, is too large, or its name is not valid UTF-8.
    """
    if not is_utf8(path):
        raise ValueError("its name is not valid UTF-8; rename it")
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is not a regular file")
    if facts.st_size > MAX_FILE_BYTES:
        raise ValueError(f"it has {facts.st_size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
    return Path(path)


def with_opened(source: str | os.PathLike[str] | bytes, use: Callable[[Image.Image], _T]) -> _T:
    """``use(image)``; retried without text chunks if Pillow refuses those."""
    try:
        with _opened(source) as image:
            return use(image)
    except ValueError as error:
        if not is_too_much_metadata(error):
            raise
        content = source if isinstance(source, bytes) else _file(source).read_bytes()
        with _opened(without_metadata(content)) as image:
            return use(image)


def _opened(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Open the image without decoding pixels.

    Raises:
        ValueError: It has more than :data:`MAX_PIXELS`, or is not a regular file.
    """
    image = Image.open(
        io.BytesIO(source) if isinstance(source, bytes) else _file(source), formats=known_formats()
    )
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(
            f"it has {image.width:,} x {image.height:,} pixels; the limit is {MAX_PIXELS:,}"
        )
    return image


def reduce_jpeg(image: Image.Image, size: int) -> None:
    """Have a JPEG decoded at a half, a quarter or an eighth, but no smaller than ``size``."""
    if image.format == "JPEG":
        image.draft(None, (size, size))


def sizes_alike(image: Image.Image, size: int) -> tuple[int, int]:
    """The least and the largest size to which :func:`read_image` decodes an image alike.

    Args:
        image: As it was opened.
        size: One of these sizes.
    """
    if is_deep(image):
        return size, size
    if image.format != "JPEG":
        return 0, LARGEST
    shorter = min(image.size)
    reduction = next((each for each in (8, 4, 2) if shorter >= OVERSAMPLING * size * each), 1)
    return (
        0 if reduction == 8 else shorter // (2 * OVERSAMPLING * reduction) + 1,
        LARGEST if reduction == 1 else shorter // (OVERSAMPLING * reduction),
    )


def upright(image: Image.Image) -> Image.Image:
    """Apply the orientation in the image's EXIF data."""
    orientation = 1
    with contextlib.suppress(Exception):  # with damaged EXIF data the image is not rotated
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def as_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB, with transparency on white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.has_transparency_data:
        return on_white(image)
    return image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """Composite a transparent image on white, in strips to save memory."""
    whole = Image.new("RGB", image.size)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        layers = image.crop((0, top, image.width, min(top + rows, image.height)))
        layers = layers.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        whole.paste(Image.alpha_composite(white, layers).convert("RGB"), (0, top))
    return whole


def reason_of(error: BaseException, name: str = "") -> str:
    """Pillow's reason in a few words."""
    text = first_line(error) if str(error) else ""
    if isinstance(error, UnidentifiedImageError):
        if missing := missing_plugin(name):
            return missing
        return "not a readable image format"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS:,} pixels"
    if isinstance(error, ValueError) and "null" in text:
        return "there is no such file"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return text or type(error).__name__
