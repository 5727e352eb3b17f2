"""Formats that need a plugin of Pillow's, and metadata that Pillow refuses."""

from __future__ import annotations

import io
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from tests.opened import open_data
from zoo.errors import BadFilesError
from zoo.modalities import IMAGE
from zoo.modalities.image import formats
from zoo.modalities.image.reading import read_image


def png_with_texts(size: int, compressed: bool) -> bytes:
    facts = PngImagePlugin.PngInfo()
    for number in range(40 if size > 10**7 else 1):
        text = "x" * (size // (40 if size > 10**7 else 1))
        facts.add_text(f"notes {number}", text, zip=compressed)
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 200, 30)).save(file, "PNG", pnginfo=facts)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "compressed"), [(2_000_000, True), (2_000_000, False), (80_000_000, True)]
)
def test_a_png_with_megabytes_of_metadata_is_read(tmp_path, size, compressed):
    for name in "ab":
        for number in range(4):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    path = tmp_path / "a" / "notes.png"
    path.write_bytes(png_with_texts(size, compressed))
    assert read_image(path).getpixel((3, 3)) == (10, 200, 30)
    assert read_image(path.read_bytes()).getpixel((3, 3)) == (10, 200, 30)
    splits = open_data(tmp_path, kind=IMAGE)
    assert len(splits.train) + len(splits.val) == 9


def test_a_png_with_a_color_profile_of_two_megabytes_is_read():
    file = io.BytesIO()
    image = Image.new("L", (8, 8), 77)
    image.save(file, "PNG", icc_profile=b"\0" * 2_000_000)
    assert read_image(file.getvalue()).getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff" * 40])
def test_taking_metadata_out_of_anything_ends(content):
    assert len(formats.without_metadata(content)) <= len(content) + 8


class _Heif(ImageFile.ImageFile):
    format = "HEIF"

    def _open(self) -> None:
        width, height = np.frombuffer(self.fp.read(12)[4:], "<u4")
        self._size, self._mode = (int(width), int(height)), "RGB"
        self.tile = [ImageFile._Tile("raw", (0, 0, *self._size), 12, "RGB")]


@pytest.fixture
def fresh() -> Iterator[None]:
    """As if nothing had been read; plugins that the test makes known are forgotten."""
    Image.init()
    before, ids = dict(Image.OPEN), list(Image.ID)
    formats.known_formats.cache_clear()
    yield
    Image.OPEN.clear()
    Image.OPEN.update(before)
    Image.ID[:] = ids
    formats.known_formats.cache_clear()


def test_a_plugin_of_pillow_s_that_is_installed_reads_its_format(tmp_path, monkeypatch, fresh):
    Image.OPEN.pop("HEIF", None)
    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = (
        lambda: Image.register_open(  # type: ignore[attr-defined]
            "HEIF", _Heif, lambda start: start[:4] == b"heif"
        )
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    size = np.array([2, 2], "<u4").tobytes()
    (tmp_path / "x.heic").write_bytes(b"heif" + size + bytes((9, 8, 7)) * 4)
    assert read_image(tmp_path / "x.heic").getpixel((1, 1)) == (9, 8, 7)


@pytest.mark.parametrize(
    ("suffix", "module", "package"),
    [(".heic", "pillow_heif", "pillow-heif"), (".jxl", "pillow_jxl", "pillow-jxl-plugin")],
)
def test_without_the_plugin_it_is_said_what_to_install(
    tmp_path, monkeypatch, fresh, suffix, module, package
):
    for name in ("HEIF", "JXL"):
        Image.OPEN.pop(name, None)
    monkeypatch.setitem(sys.modules, module, None)
    path: Path = tmp_path / f"x{suffix}"
    path.write_bytes(zlib.compress(b"not read"))
    with pytest.raises(BadFilesError, match=f"pip install {package}"):
        read_image(path)
