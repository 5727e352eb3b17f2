"""Images of any mode and format as RGB, and finding the ones that cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo.data.examined import Examined, Hashes
from zoo.data.sequences import Inputs, Raw
from zoo.errors import BadFilesError, first_line
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
from zoo.modalities.image.perceptual_hash import SIDE, hashes_of
from zoo.modalities.image.traits import TRAITS, Traits, note_traits, note_values
from zoo.system.files import is_utf8

# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga", ".ico", ".heic", ".heif", ".jxl",
))
# fmt: on
"""File names that stand for images. HEIC is among them although Pillow alone does not read it
(:mod:`zoo.modalities.image.formats`): an unreadable image is reported, an unknown file name is ignored."""

MOST_PIXELS = 178_956_970
"""Larger images are refused; at this many, reading one takes at most 1.6 GB, whatever its mode.
(Where Pillow refuses by itself.)"""

LARGEST_FILE = 2**30
"""Bytes of a file that may be an image."""

_RESIZABLE = frozenset(("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"))
"""Modes in which the mean of two pixels is a pixel; they become RGB in any case."""

_STRIP = 2**22  # pixels that are laid on white at a time

_TASK = 32  # images that a thread examines at a time


def looks_like_image(path: str | os.PathLike[str]) -> bool:
    """Whether the name of ``path`` is that of an image."""
    return Path(path).suffix.lower() in SUFFIXES


def read_image(
    source: str | os.PathLike[str] | bytes | Image.Image,
    *,
    size: int | None = None,
    name: str | None = None,
    values: ValueRange | Literal["own"] = (),
    traits: Traits | None = None,
) -> Image.Image:
    """An image as RGB, upright (EXIF orientation applied), on white where it is transparent.

    A grey one with more than 8 bits is floats of 0 to 255 in one band, mode ``F``
    (:mod:`zoo.modalities.image.bit_depth`).

    Args:
        source: A path, encoded bytes, or an image that is open already.
        size: The shorter side in pixels that is needed. Large JPEGs are then decoded at a half,
            a quarter or an eighth, but at no less than twice that size.
        name: How an error calls the image, where ``source`` is not a path.
        values: What is black and what is white in images with more than 8 bits; ``own``, to
            show one to people, takes the image's own and makes it RGB.
        traits: One row that is filled in with what the image is like.

    Raises:
        BadFilesError: It is not an image, or a damaged one, or has more than 8 bits and ``values``
            is empty; the message names it.
    """
    given = isinstance(source, (bytes, Image.Image))
    path = name or ("the image" if given else os.fspath(source))  # type: ignore[arg-type]
    if isinstance(source, Image.Image):
        return _read(source, size, path, values, traits)

    def read(image: Image.Image) -> Image.Image:
        if size is not None:
            _reduce(image, OVERSAMPLING * size)
        return _read(image, size, path, values, traits)

    try:
        return _with_opened(source, read)
    except BadFilesError:
        raise
    # Pillow's readers let through whatever the parser of a damaged file ran into: OSError,
    # SyntaxError, ValueError, struct.error, zlib.error, IndexError, DecompressionBombError, …
    except Exception as error:
        raise BadFilesError(
            f"{path} cannot be read as an image: {_reason(error, path)}",
            paths=(path,),
            hint="Fix or remove the file, or leave such files out with --bad-files skip.",
        ) from error


def _read(
    image: Image.Image,
    size: int | None,
    name: str,
    values: ValueRange | Literal["own"],
    traits: Traits | None,
) -> Image.Image:
    """What :func:`read_image` gives of an image that is open."""
    if SCALED in image.info:
        return image
    if traits is not None:
        note_traits(image, traits)
    if not is_deep(image):
        return _rgb(_upright(image))
    if not values:
        raise BadFilesError(
            f"{name} has more than 8 bits a pixel, and what is black and white in it is not known: "
            "the training images had 8 bits",
            paths=(name,),
            hint="Convert it to 8 bits, or train with --range LOW HIGH.",
        )
    image.load()
    nodata = nodata_of(image)
    if values == "own":
        shown = scaled(_upright(image), own_range(image, nodata), size, nodata=nodata)
        return shown.convert("L").convert("RGB")
    assert not isinstance(values, str)
    if traits is not None:
        note_values(image, traits)
    return scaled(_upright(image), values, size, nodata=nodata)


def examine(inputs: Inputs) -> Examined:
    """Decode every image once, and tell which cannot be.

    Nothing short of decoding finds every damaged file. JPEGs are decoded at an eighth of their
    size, which reads the whole file and leaves out most of the arithmetic. The decoders work
    outside Python's lock, so that threads use all cores.
    """
    starts = range(0, len(inputs), _TASK)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        tasks = list(pool.map(lambda start: _examine_some(inputs, start), starts))
    hashes = np.concatenate([np.zeros((0, 4), dtype=np.uint64), *(task.hashes for task in tasks)])
    digests = [digest for task in tasks for digest in task.digests]
    return Examined(
        digests,
        np.array([int.from_bytes(own[:8], "little") for own in digests], dtype=np.uint64),
        hashes,
        np.concatenate([np.zeros(0, dtype=TRAITS), *(task.traits for task in tasks)]),
        {i: reason for task in tasks for i, reason in task.reasons.items()},
    )


class _Task(NamedTuple):
    """What a thread has found of some images."""

    digests: list[bytes]
    hashes: Hashes
    traits: Traits
    reasons: dict[int, str]


def _examine_some(inputs: Inputs, start: int) -> _Task:
    wanted = range(start, min(start + _TASK, len(inputs)))
    thumbnails = np.zeros((len(wanted), SIDE, SIDE), dtype=np.uint8)
    traits = np.zeros(len(wanted), dtype=TRAITS)
    found = [
        _examine(inputs[i], inputs.name(i), thumbnails[place], traits[place : place + 1])
        for place, i in enumerate(wanted)
    ]
    reasons = {i: reason for i, (_, reason) in zip(wanted, found, strict=True) if reason}
    return _Task([digest for digest, _ in found], hashes_of(thumbnails), traits, reasons)


def _examine(
    raw: Raw, name: str, thumbnail: NDArray[np.uint8], traits: Traits
) -> tuple[bytes, str]:
    """The digest of a file, and why it cannot be read; else ``thumbnail`` and ``traits`` are filled."""
    assert not isinstance(raw, tuple)
    if isinstance(raw, Image.Image):
        _note(raw, thumbnail, traits)
        return hashlib.sha256(raw.tobytes()).digest(), ""
    try:
        content = raw if isinstance(raw, bytes) else _file(raw).read_bytes()
    except (OSError, ValueError) as error:
        return b"", _reason(error)
    digest = hashlib.sha256(content).digest()

    def look(image: Image.Image) -> None:
        _reduce(image, SIDE)
        _note(image, thumbnail, traits)

    try:
        _with_opened(content, look)
    except Exception as error:  # as in read_image
        return digest, _reason(error, name)
    return digest, ""


def _note(image: Image.Image, thumbnail: NDArray[np.uint8], traits: Traits) -> None:
    note_traits(image, traits)
    thumbnail[:] = np.asarray(_thumbnail(image))
    note_values(image, traits)


def _thumbnail(image: Image.Image) -> Image.Image:
    """The image upright and grey, :data:`SIDE` pixels a side whatever its proportions."""
    image.load()
    if is_deep(image):
        return read_image(image, size=SIDE, values="own").convert("L").resize((SIDE, SIDE))
    if image.mode in _RESIZABLE:  # before the conversion, which may take three times the memory
        small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    else:
        small = _rgb(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return _upright(_rgb(small)).convert("L")


def _file(path: str | os.PathLike[str]) -> Path:
    """``path``, if a file lies there that is no pipe or device and not larger than images are.

    Raises:
        OSError: There is none, or it may not be read.
        ValueError: It is something else, or has a name that no record can hold.
    """
    if not is_utf8(path):
        raise ValueError("its name is not valid UTF-8; rename it")
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is not a file")
    if facts.st_size > LARGEST_FILE:
        raise ValueError(f"it has {facts.st_size:,} bytes; an image may have {LARGEST_FILE:,}")
    return Path(path)


_T = TypeVar("_T")


def _with_opened(source: str | os.PathLike[str] | bytes, use: Callable[[Image.Image], _T]) -> _T:
    """What ``use`` makes of the image; again without its texts, where Pillow refuses those."""
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
    """The image, of whose pixels nothing has been decoded yet.

    Raises:
        ValueError: It has more than :data:`MOST_PIXELS`, or is not a file that could be one.
    """
    image = Image.open(
        io.BytesIO(source) if isinstance(source, bytes) else _file(source), formats=known_formats()
    )
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise ValueError(
            f"it has {image.width:,} x {image.height:,} pixels; {MOST_PIXELS:,} are the most"
        )
    return image


def _reduce(image: Image.Image, size: int) -> None:
    if image.format == "JPEG":
        image.draft(None, (size, size))


def _upright(image: Image.Image) -> Image.Image:
    orientation = 1
    with contextlib.suppress(Exception):  # damaged EXIF data leave the image as it lies
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """A transparent image on white, some rows at a time: layers of all take four times as much."""
    whole = Image.new("RGB", image.size)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        layers = image.crop((0, top, image.width, min(top + rows, image.height)))
        layers = layers.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        whole.paste(Image.alpha_composite(white, layers).convert("RGB"), (0, top))
    return whole


def _reason(error: BaseException, name: str = "") -> str:
    """Pillow's reason in a few words, without the names of its buffers."""
    text = first_line(error) if str(error) else ""
    if isinstance(error, UnidentifiedImageError):
        if missing := missing_plugin(name):
            return missing
        return "not a readable image format"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels"
    if isinstance(error, ValueError) and "null" in text:
        return "there is no such file"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return text or type(error).__name__
