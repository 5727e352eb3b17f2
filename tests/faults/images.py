"""Images as people have them: broken in many ways, and odd but whole."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

SIZE = (40, 28)

FORMATS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "jpg": ("JPEG", "RGB", {}),
    "progressive.jpg": ("JPEG", "RGB", {"progressive": True}),
    "grey.jpg": ("JPEG", "L", {}),
    "png": ("PNG", "RGB", {}),
    "rgba.png": ("PNG", "RGBA", {}),
    "bmp": ("BMP", "RGB", {}),
    "gif": ("GIF", "P", {}),
    "webp": ("WEBP", "RGB", {}),
    "lossless.webp": ("WEBP", "RGB", {"lossless": True}),
    "tif": ("TIFF", "RGB", {}),
    "lzw.tif": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "deflate.tif": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    "ppm": ("PPM", "RGB", {}),
    "pgm": ("PPM", "L", {}),
    "avif": ("AVIF", "RGB", {}),
    "jp2": ("JPEG2000", "RGB", {}),
    "tga": ("TGA", "RGB", {"compression": "tga_rle"}),
    "ico": ("ICO", "RGBA", {"sizes": [(16, 16)]}),
}
"""By the end of a file's name: Pillow's format, the mode, and options."""

CUTS = (0, 1, 12, 0.3, 0.6, 0.9)
"""Bytes, or shares of a file, that are left of it."""


def noise(mode: str = "RGB", size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """An image that no format makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def whole() -> dict[str, bytes]:
    """One of each format."""
    return {
        name: encoded(noise(mode), kind, **options)
        for name, (kind, mode, options) in FORMATS.items()
    }


def cut() -> dict[str, bytes]:
    """Every format, cut off at several lengths."""
    return {
        f"cut-{share}.{name}": content[
            : share if isinstance(share, int) else int(share * len(content))
        ]
        for name, content in whole().items()
        for share in CUTS
    }


def damaged() -> dict[str, bytes]:
    """A block of zeros, and of other bytes, in the middle of every format."""
    generator = np.random.default_rng(1)
    found = {}
    for name, content in whole().items():
        third = len(content) // 3
        for what, filling in (("zeros", bytes(third)), ("noise", generator.bytes(third))):
            found[f"{what}.{name}"] = content[:third] + filling + content[2 * third :]
    return found


def never() -> dict[str, bytes]:
    """What is not an image, or one that must not be decoded; every one has to be reported."""
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(executed) (w) file closefile\n"
    return {
        "text.jpg": b"no image at all",
        "page.png": b"<html><script>alert(1)</script></html>",
        "script.jpg": script,
        "page.pdf.png": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9"/></svg>',
        "archive.jpg": b"PK\x03\x04" + bytes(60),
        "program.png": b"\x7fELF" + bytes(60),
        "zeros.jpg": bytes(4096),
        "signature.png": b"\x89PNG\r\n\x1a\n",
        "no-pixels.png": png(0, 0, b""),
        "one-column-of-none.png": png(1, 0, b""),
        **bombs(),
    }


def bombs() -> dict[str, bytes]:
    """Small files that say they are enormous."""
    side = 65_000
    jpeg = bytearray(encoded(noise(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", side, side)
    gif = bytearray(encoded(noise("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    bmp = bytearray(encoded(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", side, side)
    tiff = encoded(noise(), "TIFF")
    tiff = tiff.replace(
        struct.pack("<HHIH", 256, 4, 1, SIZE[0]), struct.pack("<HHIH", 256, 4, 1, side)
    )
    tiff = tiff.replace(
        struct.pack("<HHIH", 257, 4, 1, SIZE[1]), struct.pack("<HHIH", 257, 4, 1, side)
    )
    return {
        "bomb.jpg": bytes(jpeg),
        "bomb.gif": bytes(gif),
        "bomb.bmp": bytes(bmp),
        "bomb.tif": tiff,
        "bomb.ppm": b"P6\n%d %d\n255\n" % (side, side) + bytes(99),
        "bomb.png": png(side, side, zlib.compress(bytes(1_000_000))),
        "just-too-large.png": png(13_378, 13_378, zlib.compress(bytes(99))),
    }


def png(width: int, height: int, data: bytes, *, text: bytes = b"") -> bytes:
    """A PNG that says what it likes about its size, with a compressed comment."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    comment = b"a\0\0" + zlib.compress(text)
    parts = [
        (b"IHDR", head),
        *([(b"zTXt", comment)] if text else []),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def odd() -> dict[str, bytes]:
    """Unusual but whole; every one has to train."""
    frames = [noise("P", seed=i) for i in range(3)]
    grey16 = Image.fromarray(np.arange(40 * 28, dtype=np.uint16).reshape(28, 40) * 58)
    found = {
        "one-pixel.png": encoded(noise(size=(1, 1)), "PNG"),
        "one-pixel.jpg": encoded(noise(size=(1, 1)), "JPEG"),
        "row.png": encoded(noise(size=(20_000, 1)), "PNG"),
        "column.png": encoded(noise(size=(1, 20_000)), "PNG"),
        "column.jpg": encoded(noise(size=(1, 20_000)), "JPEG"),
        "inks.jpg": encoded(noise("CMYK"), "JPEG"),
        "inks.tif": encoded(noise("CMYK"), "TIFF"),
        "lab.tif": encoded(noise("LAB"), "TIFF"),
        "ycbcr.tif": encoded(noise("YCbCr"), "TIFF", compression="jpeg"),
        "comment.png": png(4, 4, zlib.compress(bytes(4 * 13)), text=bytes(20_000_000)),
        "deep.png": encoded(grey16, "PNG"),
        "deep.tif": encoded(grey16, "TIFF"),
        "floats.tif": encoded(noise("F"), "TIFF"),
        "integers.tif": encoded(noise("I"), "TIFF"),
        "bilevel.png": encoded(noise("1"), "PNG"),
        "bilevel.tif": encoded(noise("1"), "TIFF", compression="group4"),
        "grey-and-clear.png": encoded(noise("LA"), "PNG"),
        "palette.png": encoded(noise("P"), "PNG", transparency=0),
        "moving.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "moving.png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "moving.webp": encoded(noise(), "WEBP", save_all=True, append_images=[noise(seed=9)]),
        "pages.tif": encoded(noise(), "TIFF", save_all=True, append_images=[noise(seed=9)]),
        "pair.jpg": encoded(noise(), "MPO", save_all=True, append_images=[noise(seed=9)]),
        "UPPER.JPG": encoded(noise(), "JPEG"),
        "damaged-exif.jpg": encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "rubbish-behind.png": encoded(noise(), "PNG") + b"rubbish" * 99,
    }
    for name, content in whole().items():
        wrong = "png" if name.endswith("jpg") else "jpg"
        found[f"wrong-suffix-{name}.{wrong}"] = content
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        size = SIZE if orientation < 5 else SIZE[::-1]
        found[f"turned-{orientation}.jpg"] = encoded(noise(size=size), "JPEG", exif=exif.tobytes())
    for name, value in (("zero", 0), ("nine", 9), ("65535", 65_535)):
        exif = Image.Exif()
        exif[0x0112] = value
        found[f"turned-by-{name}.jpg"] = encoded(noise(), "JPEG", exif=exif.tobytes())
    return found
