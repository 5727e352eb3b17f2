"""Files that have been read before, and have not changed, are not read again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import examined_cache
from zoo.data.examined import Examined
from zoo.data.sequences import Listed, Paths
from zoo.modalities import modality_named
from zoo.modalities.files import reading as files_reading
from zoo.modalities.image import examining, reading
from zoo_audio.modality import AUDIO
from zoo_audio.reading import to_wav

IMAGES = modality_named("image")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(examined_cache, "SETTLED", -3600.0)  # a test's files are new


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened."""
    names: list[str] = []
    plain = reading.content_of

    def counted(raw: str) -> bytes:
        names.append(os.path.basename(raw))
        return plain(raw)

    monkeypatch.setattr(examining, "content_of", counted)
    return names


def write(path: Path, value: int) -> None:
    pixels = np.random.default_rng(value).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Paths:
    folder = tmp_path / "images"
    folder.mkdir()
    names = [f"{number}.png" for number in range(5)]
    for number, name in enumerate(names):
        write(folder / name, number)
    (folder / "4.png").write_bytes(b"not an image")
    return Paths.under(folder, names)


def same(one: Examined, other: Examined) -> bool:
    return (
        list(one.digests) == list(other.digests)
        and one.reasons == other.reasons
        and all(
            np.array_equal(getattr(one, name), getattr(other, name))
            for name in ("contents", "hashes", "traits")
        )
    )


def test_unchanged_files_are_read_once(images: Paths, read: list[str]) -> None:
    first = examined_cache.examine(IMAGES, images)
    assert sorted(read) == [f"{number}.png" for number in range(5)]
    read.clear()
    second = examined_cache.examine(IMAGES, images)
    assert read == ["4.png"]  # what cannot be read is looked at again
    assert same(first, second)
    assert same(first, IMAGES.examine(images))
    assert list(first.reasons) == [4]


def test_a_changed_file_is_read_again(images: Paths, read: list[str]) -> None:
    examined_cache.examine(IMAGES, images)
    before = os.stat(images[1])
    content = bytearray(Path(images[1]).read_bytes())
    write(Path(images[1]), 9)
    os.truncate(images[1], len(content))  # the same size, the same modification time
    os.utime(images[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    found = examined_cache.examine(IMAGES, images)
    assert read == ["1.png", "4.png"]
    assert same(found, IMAGES.examine(images))


def test_files_in_another_order_or_for_other_splits(images: Paths, read: list[str]) -> None:
    examined_cache.examine(IMAGES, images)
    read.clear()
    some = images.take(np.array([2, 0]))
    found = examined_cache.examine(IMAGES, some)
    assert not read
    assert same(found, IMAGES.examine(some))


def test_a_file_that_has_just_changed_is_not_kept(
    images: Paths, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examined_cache, "SETTLED", 2.0)
    examined_cache.examine(IMAGES, images)
    assert not examined_cache._find(
        IMAGES.examiner,
        [os.fsencode(images[0])],
        [examined_cache._state(images[0])],
    )


def test_a_damaged_cache_is_written_again(images: Paths, read: list[str]) -> None:
    file = examined_cache.cache_file()
    file.parent.mkdir()
    file.write_bytes(b"not a database, but a text of some length" * 100)
    assert same(examined_cache.examine(IMAGES, images), IMAGES.examine(images))
    read.clear()
    examined_cache.examine(IMAGES, images)
    assert read == ["4.png"]


def test_a_cache_that_cannot_be_used_costs_time_only(images: Paths, read: list[str]) -> None:
    file = examined_cache.cache_file()
    file.parent.mkdir()
    os.mkfifo(file)
    with pytest.warns(UserWarning, match="the next run reads them again"):
        found = examined_cache.examine(IMAGES, images)
    assert len(read) == 5
    assert same(found, IMAGES.examine(images))


def test_inputs_in_memory_are_not_kept(images: Paths) -> None:
    contents = tuple(Path(images[number]).read_bytes() for number in range(3))
    listed = Listed(contents, ("a", "b", "c"))
    assert same(examined_cache.examine(IMAGES, listed), IMAGES.examine(listed))
    assert not examined_cache.cache_file().exists()


def test_files_of_a_plugin_are_read_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, opened = [f"{number}.wav" for number in range(4)], list[str]()
    for number, name in enumerate(names):
        sound = np.sin(np.arange(800 * (number + 1)) / 9).astype(np.float32)
        (tmp_path / name).write_bytes(to_wav((sound, 8000)))
    (tmp_path / "3.wav").write_bytes(b"not a recording")
    content = files_reading._content
    monkeypatch.setattr(
        files_reading,
        "_content",
        lambda path: opened.append(os.path.basename(path)) or content(path),
    )
    sounds = Paths.under(tmp_path, names)
    first = examined_cache.examine(AUDIO, sounds)
    assert sorted(opened) == names
    assert first.traits is not None
    assert first.traits["measure"][:3] == pytest.approx([0.1, 0.2, 0.3])
    opened.clear()
    second = examined_cache.examine(AUDIO, sounds)
    assert opened == ["3.wav"]
    assert np.array_equal(first.traits[:3], second.traits[:3])
    assert np.array_equal(first.contents, second.contents)
    monkeypatch.setattr(files_reading, "_version", lambda name: f"another of {name}")
    examined_cache.examine(AUDIO, sounds)
    assert len(opened) == 1 + len(names)


def test_what_code_without_a_file_reads_is_not_kept() -> None:
    def read(raw: object) -> object:
        return raw

    read.__module__ = "typed_in"
    assert AUDIO.examiner
    assert replace(AUDIO, read=read).examiner == ""
