"""Images that are decoded once are those that decoding again would give."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.decoded import cache_in, decoded_once, files_in, with_digests
from zoo.data.samples import Samples
from zoo.data.sequences import Paths
from zoo.engine import decoding
from zoo.errors import BadFilesError
from zoo.modalities import IMAGE
from zoo.modalities.image.decoded import Decoded, ImageDecoding
from zoo.modalities.image.reading import read_image

FORMATS = ("jpg", "png", "gif", "bmp", "webp", "tiff")

COUNT = 72  # more than a record batch


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Files of different shapes and formats; JPEGs are decoded at each of the four scales."""
    folder = tmp_path_factory.mktemp("pictures")
    generator, names = np.random.default_rng(0), []
    for number in range(COUNT):
        height, width = generator.integers(20, 190, 2)
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        names.append(f"{number}.{FORMATS[number % 6] if number % 4 else 'jpg'}")
        Image.fromarray(pixels).save(folder / names[-1])
    return with_digests(Samples(IMAGE, Paths.under(folder, names), np.arange(COUNT) % 2))


def same_as_read(found: Samples, samples: Samples, size: int) -> bool:
    return all(
        np.array_equal(read_image(found.raw(i), size=size), read_image(samples.raw(i), size=size))
        and found.input(i) == samples.input(i)
        for i in range(len(samples))
    )


def test_each_is_what_decoding_gives(samples: Samples, tmp_path: Path) -> None:
    found = decoded_once(samples, ImageDecoding(16), tmp_path)
    assert isinstance(found.inputs, Decoded)
    assert same_as_read(found, samples, 16)
    chosen = found.select([65, 3])
    assert np.array_equal(chosen.raw(0), found.raw(65))
    assert chosen.input(1) == samples.input(3)


@pytest.mark.parametrize("sizes", [(5, 6), (16, 18), (64, 73)])
def test_each_that_is_kept_while_it_is_checked_is_too(
    samples: Samples, tmp_path: Path, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [ImageDecoding(size) for size in sizes]
    cache = cache_in(tmp_path, *ways)
    with cache.during(COUNT):
        found = IMAGE.examine(samples.inputs, cache)
    plain = IMAGE.examine(samples.inputs)
    assert np.array_equal(found.hashes, plain.hashes)
    assert np.array_equal(found.traits, plain.traits)
    assert list(found.digests) == list(plain.digests)
    monkeypatch.setattr(ImageDecoding, "read", None)  # nothing is decoded again
    for way in ways:
        assert same_as_read(cache.of(samples, way), samples, way.size)


def test_what_takes_too_much_space_is_not_kept(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 100_000)
    cache = cache_in(tmp_path, ImageDecoding(64))
    with cache.during(COUNT):
        IMAGE.examine(samples.inputs, cache)
    assert cache.of(samples, ImageDecoding(64)) is samples
    assert list(tmp_path.iterdir()) == []


def test_more_images_are_decoded_alone(samples: Samples, tmp_path: Path) -> None:
    decoded_once(samples.select(range(60)), ImageDecoding(16), tmp_path)
    (first,) = files_in(tmp_path)
    found = decoded_once(samples, ImageDecoding(16), tmp_path)
    assert same_as_read(found, samples, 16)
    (second,) = set(files_in(tmp_path)) - {first}
    assert second.stat().st_size < first.stat().st_size / 2
    decoded_once(samples, ImageDecoding(16), tmp_path)
    assert len(files_in(tmp_path)) == 2


def test_they_go_to_a_worker_as_a_path(samples: Samples, tmp_path: Path) -> None:
    found = decoded_once(samples, ImageDecoding(16), tmp_path)
    first = np.array(found.raw(0))
    sent = pickle.dumps(found.inputs)
    assert len(sent) < 10_000
    assert np.array_equal(pickle.loads(sent)[0], first)


def test_half_a_file_is_decoded_again(samples: Samples, tmp_path: Path) -> None:
    decoded_once(samples, ImageDecoding(16), tmp_path)
    (file,) = files_in(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    assert same_as_read(decoded_once(samples, ImageDecoding(16), tmp_path), samples, 16)


def test_a_file_that_changes_after_its_check_is_not_mistaken(tmp_path: Path) -> None:
    for name, red in (("a.png", 0), ("b.png", 1)):
        Image.new("RGB", (8, 8), (red, 0, 0)).save(tmp_path / name)
    samples = with_digests(Samples(IMAGE, Paths.under(tmp_path, ["a.png", "b.png"])))
    Image.new("RGB", (8, 8), (9, 0, 0)).save(tmp_path / "a.png")
    cache = cache_in(tmp_path / "cache")
    assert cache.of(samples, ImageDecoding(8)) is samples
    checked = with_digests(samples)
    found = cache.of(checked, ImageDecoding(8))
    assert [found.raw(i).getpixel((0, 0))[0] for i in range(2)] == [9, 1]


def test_nothing_is_left_of_images_of_which_one_cannot_be_read(
    samples: Samples, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = Samples(IMAGE, Paths.under(tmp_path, ["bad.png"]), digests=[b"x"])
    with pytest.raises(BadFilesError, match=r"bad\.png"):
        cache_in(tmp_path / "out").of(bad, ImageDecoding(16))
    assert not (tmp_path / "out").exists()
