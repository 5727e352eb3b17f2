"""Image formats: those that Pillow reads, those that its plugins add, and oversized metadata."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image

FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000"),
    *("ICO", "HEIF", "JXL", "TGA"),
)
"""What file names stand for, as Pillow calls it. Left to itself, it goes by a file's contents,
and starts Ghostscript where they are PostScript. TGA, which has no mark of its own, comes last."""

_PLUGINS: Mapping[str, tuple[str, str]] = {
    "HEIF": ("pillow_heif", "pillow-heif"),
    "AVIF": ("pillow_avif", "pillow-avif-plugin"),
    "JXL": ("pillow_jxl", "pillow-jxl-plugin"),
}
"""By format: the module that makes Pillow read it, and the package that has it."""

_NEED = {".heic": "HEIF", ".heif": "HEIF", ".avif": "AVIF", ".jxl": "JXL"}

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METADATA = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))


@cache
def known_formats() -> tuple[str, ...]:
    """Those of :data:`FORMATS` that can be read here; plugins of Pillow's are made known."""
    Image.init()
    for name, (module, _) in _PLUGINS.items():
        if name not in Image.OPEN:
            # a plugin that is there and broken is as one that is not
            with suppress(Exception):
                loaded = importlib.import_module(module)
                if name == "HEIF":  # the others register themselves
                    loaded.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def missing_plugin(name: str) -> str:
    """What to install for a file of this name; empty where its format can be read."""
    need = _NEED.get(Path(name).suffix.lower())
    if need is None or need in known_formats():
        return ""
    package = _PLUGINS[need][1]
    return f"reading {Path(name).suffix.lower()} needs {package}: pip install {package}"


def is_too_much_metadata(error: BaseException) -> bool:
    """Whether Pillow has refused a PNG for the size of its texts or color profile."""
    text = str(error)
    return isinstance(error, ValueError) and ("MAX_TEXT_CHUNK" in text or "MAX_TEXT_MEM" in text)


def without_metadata(content: bytes) -> bytes:
    """A PNG without its texts and color profile, none of which reading uses."""
    kept, place = [_SIGNATURE], len(_SIGNATURE)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        if content[place + 4 : place + 8] not in _METADATA:
            kept.append(content[place:end])
        place = end
    return b"".join(kept)
