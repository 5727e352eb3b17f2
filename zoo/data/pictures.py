"""Pictures of any mode and format as RGB, and finding the ones that cannot be read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo.data.looks import SIDE, Looks, looks_of
from zoo.data.samples import Inputs, Picture, Samples
from zoo.errors import BadFilesError
from zoo.files import is_utf8

# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga", ".ico", ".heic", ".heif",
))
# fmt: on
"""File names that stand for pictures. HEIC is among them although Pillow alone does not read it:
an unreadable picture is reported, an unknown file name is passed over."""

_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000"),
    *("ICO", "HEIF", "TGA"),
)
"""What those names stand for, as Pillow calls it. Left to itself, it goes by a file's contents,
and starts Ghostscript where they are PostScript. TGA, which has no mark of its own, comes last."""

MOST_PIXELS = 178_956_970
"""Larger pictures are refused; at this many, one takes 0.7 GB. (Where Pillow refuses by itself.)"""

LARGEST_FILE = 2**30
"""Bytes of a file that may be a picture."""

OVERSAMPLING = 2
"""A JPEG is decoded at no less than this many times the size that is asked for: a decoder's
reduction is coarser than the resizing after it."""

_RESIZABLE = frozenset(("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"))
"""Modes in which the mean of two pixels is a pixel; they become RGB in any case."""

_TASK = 32  # pictures that a thread examines at a time


def looks_like_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name of ``path`` is that of a picture."""
    return Path(path).suffix.lower() in SUFFIXES


def read_picture(
    source: str | os.PathLike[str] | bytes | Image.Image,
    *,
    size: int | None = None,
    name: str | None = None,
) -> Image.Image:
    """A picture as RGB, upright (EXIF orientation applied), on white where it is transparent.

    16-bit greys are brought to 8 bits by their upper bits; 32-bit and float greys count as 8-bit
    where no value exceeds 255, as 16-bit otherwise, and as shares of white where none exceeds 1.

    Args:
        source: A path, encoded bytes, or a picture that is open already.
        size: The shorter side in pixels that is needed. Large JPEGs are then decoded at a half,
            a quarter or an eighth, but at no less than twice that size.
        name: How an error calls the picture, where ``source`` is not a path.

    Raises:
        BadFilesError: It is no picture, or a damaged one; the message names it.
    """
    if isinstance(source, Image.Image):
        return _rgb(_upright(source))
    path = name or ("the picture" if isinstance(source, bytes) else os.fspath(source))
    try:
        with _opened(source) as picture:
            if size is not None:
                _reduce(picture, OVERSAMPLING * size)
            return _rgb(_upright(picture))
    # Pillow's readers let through whatever the parser of a damaged file ran into: OSError,
    # SyntaxError, ValueError, struct.error, zlib.error, IndexError, DecompressionBombError, …
    except Exception as error:
        raise BadFilesError(
            f"{path} cannot be read as a picture: {_reason(error)}",
            paths=(path,),
            hint="Mend or remove the file, or leave such files out with --bad-files skip.",
        ) from error


@dataclass(frozen=True)
class Examined:
    """What decoding every picture once has shown.

    Attributes:
        digests: The sha256 of every file.
        looks: ``(N, 4)``, what each looks like (:mod:`zoo.data.looks`).
        reasons: The index and the reason of each that cannot be read.
    """

    digests: list[bytes]
    looks: Looks
    reasons: dict[int, str]


def examine(inputs: Inputs) -> Examined:
    """Decode every picture once, and tell which cannot be.

    Nothing short of decoding finds every damaged file. JPEGs are decoded at an eighth of their
    size, which reads the whole file and leaves out most of the arithmetic. The decoders work
    outside Python's lock, so that threads use all cores.
    """
    starts = range(0, len(inputs), _TASK)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        tasks = list(pool.map(lambda start: _examine_some(inputs, start), starts))
    digests = [digest for digests, _, _ in tasks for digest in digests]
    reasons = [reason for _, reasons, _ in tasks for reason in reasons]
    return Examined(
        digests,
        np.concatenate([np.zeros((0, 4), dtype=np.uint64), *(looks for _, _, looks in tasks)]),
        {i: reason for i, reason in enumerate(reasons) if reason},
    )


def _examine_some(inputs: Inputs, start: int) -> tuple[list[bytes], list[str], Looks]:
    samples = Samples("image", inputs)
    wanted = range(start, min(start + _TASK, len(inputs)))
    thumbnails = np.zeros((len(wanted), SIDE, SIDE), dtype=np.uint8)
    found = [_examine(samples.picture(i), at) for i, at in zip(wanted, thumbnails, strict=True)]
    return [digest for digest, _ in found], [reason for _, reason in found], looks_of(thumbnails)


def _examine(raw: Picture, thumbnail: NDArray[np.uint8]) -> tuple[bytes, str]:
    """The digest of a file, and why it cannot be read; else ``thumbnail`` is filled."""
    if isinstance(raw, Image.Image):
        thumbnail[:] = np.asarray(_thumbnail(raw))
        return hashlib.sha256(raw.tobytes()).digest(), ""
    try:
        content = raw if isinstance(raw, bytes) else _file(raw).read_bytes()
    except (OSError, ValueError) as error:
        return b"", _reason(error)
    digest = hashlib.sha256(content).digest()
    try:
        with _opened(content) as picture:
            _reduce(picture, SIDE)
            thumbnail[:] = np.asarray(_thumbnail(picture))
    except Exception as error:  # as in read_picture
        return digest, _reason(error)
    return digest, ""


def _thumbnail(picture: Image.Image) -> Image.Image:
    """The picture upright and grey, :data:`SIDE` pixels a side whatever its proportions."""
    picture.load()
    if picture.mode in _RESIZABLE:  # before the conversion, which may take three times the memory
        small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    else:
        small = _rgb(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return _upright(_rgb(small)).convert("L")


def _file(path: str | os.PathLike[str]) -> Path:
    """``path``, if a file lies there that is no pipe or device and not larger than pictures are.

    Raises:
        OSError: There is none, or it may not be read.
        ValueError: It is something else, or has a name that no record can hold.
    """
    if not is_utf8(path):
        raise ValueError("its name is no UTF-8; rename it")
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is no file")
    if facts.st_size > LARGEST_FILE:
        raise ValueError(f"it has {facts.st_size:,} bytes; a picture may have {LARGEST_FILE:,}")
    return Path(path)


def _opened(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """The picture, of whose pixels nothing has been decoded yet.

    Raises:
        ValueError: It has more than :data:`MOST_PIXELS`, or is no file that could be one.
    """
    Image.init()  # at the first call, it makes Pillow's readers known
    formats = [name for name in _FORMATS if name in Image.OPEN]
    picture = Image.open(
        io.BytesIO(source) if isinstance(source, bytes) else _file(source), formats=formats
    )
    if picture.width * picture.height > MOST_PIXELS:
        picture.close()
        raise ValueError(
            f"it has {picture.width:,} x {picture.height:,} pixels; {MOST_PIXELS:,} are the most"
        )
    return picture


def _reduce(picture: Image.Image, size: int) -> None:
    if picture.format == "JPEG":
        picture.draft(None, (size, size))


def _upright(picture: Image.Image) -> Image.Image:
    orientation = 1
    with contextlib.suppress(Exception):  # damaged EXIF data leave the picture as it lies
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return ImageOps.exif_transpose(picture) if orientation in range(2, 9) else picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        picture.load()
        return picture
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(white, layers).convert("RGB")
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, or of floats, with 8 bits."""
    grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    highest = float(grey.max(initial=0))
    if picture.mode.startswith("I;16") or highest > 255:
        grey = grey / 257  # 65535 becomes 255
    elif picture.mode == "F" and highest <= 1:
        grey = grey * 255
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _reason(error: BaseException) -> str:
    """Pillow's reason in a few words, without the names of its buffers."""
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a kind that is read"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels"
    if isinstance(error, ValueError) and "null" in text:
        return "there is no such file"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return text or type(error).__name__
