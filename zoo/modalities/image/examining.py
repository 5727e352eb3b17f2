"""Decode every image once to find unreadable ones, duplicates, and parts that will not be seen."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from zoo.data.examined import Examined, Hashes, Keeps
from zoo.data.sequences import Inputs, Raw
from zoo.errors import BadFilesError
from zoo.modalities.image.arrays import FoundArray, grey, is_array, is_npy, is_tiff
from zoo.modalities.image.bit_depth import OVERSAMPLING, is_deep
from zoo.modalities.image.decoded import DecodedImage, ImageDecoding
from zoo.modalities.image.reading import (
    RESIZABLE,
    as_rgb,
    content_of,
    found_in,
    read_image,
    read_opened,
    reason_of,
    reduce_jpeg,
    sizes_alike,
    upright,
    with_opened,
)
from zoo.modalities.image.traits import TRAITS, Traits, note_array, note_traits, note_values
from zoo.modalities.perceptual_hash import SIDE, hashes_of
from zoo.system.processor import usable_cores

_TASK = 32  # images that a thread examines at a time

_AS_LOADED = frozenset(("JPEG", "PNG", "BMP"))  # looking for other frames moves within the others

_VERSION = 2  # of the digests, hashes and traits; raise it when any of them changes


def examiner() -> str:
    """What :func:`examine` depends on: the version of this module, its traits, and Pillow."""
    return f"image {_VERSION}.{zlib.crc32(repr(TRAITS.descr).encode()):x}, Pillow {PIL.__version__}"


def examine(inputs: Inputs, keep: Keeps | None = None) -> Examined:
    """Read every image once, and find unreadable ones.

    Only decoding finds every damaged file. JPEGs are decoded at an eighth of their size, which
    reads the whole file but skips most of the arithmetic. Decoders release the GIL, so threads use
    all cores.

    Args:
        inputs: Images.
        keep: Takes the images at the size that training needs, from the same bytes.
    """
    starts = range(0, len(inputs), _TASK)
    with ThreadPoolExecutor(max_workers=math.ceil(usable_cores())) as pool:
        tasks = list(pool.map(lambda start: _examine_some(inputs, start, keep), starts))
    hashes = np.concatenate([np.zeros((0, 4), dtype=np.uint64), *(task.hashes for task in tasks)])
    digests = [digest for task in tasks for digest in task.digests]
    return Examined(
        digests,
        np.array([int.from_bytes(each[:8], "little") for each in digests], dtype=np.uint64),
        hashes,
        np.concatenate([np.zeros(0, dtype=TRAITS), *(task.traits for task in tasks)]),
        {i: reason for task in tasks for i, reason in task.reasons.items()},
    )


class _Task(NamedTuple):
    """Results of one thread for some images."""

    digests: list[bytes]
    hashes: Hashes
    traits: Traits
    reasons: dict[int, str]


def _examine_some(inputs: Inputs, start: int, keep: Keeps | None) -> _Task:
    wanted = range(start, min(start + _TASK, len(inputs)))
    thumbnails = np.zeros((len(wanted), SIDE, SIDE), dtype=np.uint8)
    traits = np.zeros(len(wanted), dtype=TRAITS)
    found = [
        _examine(inputs[i], inputs.name(i), thumbnails[place], traits[place : place + 1], keep)
        for place, i in enumerate(wanted)
    ]
    reasons = {i: reason for i, (_, reason) in zip(wanted, found, strict=True) if reason}
    return _Task([digest for digest, _ in found], hashes_of(thumbnails), traits, reasons)


def _examine(
    raw: Raw, name: str, thumbnail: NDArray[np.uint8], traits: Traits, keep: Keeps | None
) -> tuple[bytes, str]:
    """Digest of a file and why it is unreadable; fills ``thumbnail`` and ``traits`` if it is not."""
    assert not isinstance(raw, tuple)
    if raw is None:
        return b"", "there is no image"
    if is_array(raw) or isinstance(raw, Image.Image):
        return _examine_object(raw, name, thumbnail, traits)
    try:
        content = content_of(raw)
    except (OSError, ValueError) as error:
        return b"", reason_of(error)
    digest = hashlib.sha256(content).digest()
    if is_npy(content) or is_tiff(content):
        try:
            found = found_in(content, name)
        except BadFilesError as error:
            return digest, error.message.removeprefix(f"{name} ")
        if isinstance(found, FoundArray):
            note_array(found, traits)
            thumbnail[:] = _small(found)
            return digest, ""
        if isinstance(found, Image.Image):
            _note(found, thumbnail, traits)
            return digest, ""

    decodings: Sequence[ImageDecoding] = () if keep is None else keep.wanted(digest)

    def look(image: Image.Image) -> list[DecodedImage]:
        alike = [sizes_alike(image, decoding.size) for decoding in decodings]
        reduce_jpeg(image, SIDE)
        _note(image, thumbnail, traits)
        return list(_kept(image, alike, decodings, content, name))

    try:
        kept = with_opened(content, look)
    except Exception as error:  # as in read_image
        return digest, reason_of(error, name)
    for each in kept:
        assert keep is not None
        keep.add(digest, each)
    return digest, ""


def _kept(
    image: Image.Image,
    alike: Sequence[tuple[int, int]],
    decodings: Sequence[ImageDecoding],
    content: bytes,
    name: str,
) -> Iterator[DecodedImage]:
    """The image as ``decodings`` decode it; one image where several decode it alike.

    Args:
        image: Decoded at no less than :data:`SIDE`.
        alike: For each decoding, the sizes to which the image is decoded alike.
        decodings: See :class:`zoo.modalities.image.decoded.ImageDecoding`.
        content: The bytes of the file.
        name: Its name.
    """
    for place, (decoding, (lowest, highest)) in enumerate(zip(decodings, alike, strict=True)):
        deep = is_deep(image)
        if (lowest, highest) in alike[:place] or (deep and not decoding.values):
            continue
        if image.format in _AS_LOADED and not deep and lowest <= SIDE // OVERSAMPLING <= highest:
            yield decoding.of(read_opened(image, decoding.size, name, ()), lowest, highest)
        else:
            yield decoding.decoded(content, name)


def _examine_object(
    raw: Any, name: str, thumbnail: NDArray[np.uint8], traits: Traits
) -> tuple[bytes, str]:
    try:
        found = found_in(raw, name)
    except BadFilesError as error:
        return b"", error.message.removeprefix(f"{name} ")
    if isinstance(found, FoundArray):
        note_array(found, traits)
        thumbnail[:] = _small(found)
        facts = f"{found.values.shape} {found.values.dtype}".encode()
        return hashlib.sha256(facts + np.ascontiguousarray(found.values).tobytes()).digest(), ""
    _note(found, thumbnail, traits)
    return hashlib.sha256(found.tobytes()).digest(), ""


def _small(found: FoundArray) -> NDArray[np.uint8]:
    """All bands in grey, squashed to :data:`SIDE` pixels per side."""
    small: NDArray[np.uint8] = np.asarray(grey(found).resize((SIDE, SIDE)))
    return small


def _note(image: Image.Image, thumbnail: NDArray[np.uint8], traits: Traits) -> None:
    note_traits(image, traits)
    thumbnail[:] = np.asarray(_thumbnail(image))
    note_values(image, traits)


def _thumbnail(image: Image.Image) -> Image.Image:
    """The image upright and gray, squashed to :data:`SIDE` pixels per side."""
    image.load()
    if is_deep(image):
        return read_image(image, size=SIDE, values="own").convert("L").resize((SIDE, SIDE))
    if image.mode in RESIZABLE:  # before conversion, which may take three times the memory
        small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    else:
        small = as_rgb(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return upright(as_rgb(small)).convert("L")
