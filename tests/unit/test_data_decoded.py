"""Images that are decoded once are those that decoding again would give."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.samples import Samples
from zoo.data.sequences import Paths
from zoo.errors import BadFilesError
from zoo.modalities import IMAGE
from zoo.modalities.image.decoded import Decoded, decode, estimated_bytes, opened
from zoo.modalities.image.reading import read_image

COUNT = 70  # more than a record batch


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """JPEGs and PNGs of different shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator, names = np.random.default_rng(0), []
    for number in range(COUNT):
        height, width = generator.integers(20, 90, 2)
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        names.append(f"{number}.{'jpg' if number % 2 else 'png'}")
        Image.fromarray(pixels).save(folder / names[-1])
    return Samples(IMAGE, Paths.under(folder, names), np.arange(COUNT) % 2)


def decoded(samples: Samples, file: Path) -> Samples:
    assert sum(decode(samples, 16, file)) == COUNT
    found = opened(samples, file)
    assert found is not None
    return found


def test_each_is_what_decoding_gives(samples: Samples, tmp_path: Path) -> None:
    found = decoded(samples, tmp_path / "a.arrow")
    for index in range(COUNT):
        again = read_image(samples.raw(index), size=16)
        assert np.array_equal(read_image(found.raw(index), size=16), again)
        assert found.input(index) == samples.input(index)
    chosen = found.select([65, 3])
    assert np.array_equal(chosen.raw(0), found.raw(65))
    assert chosen.input(1) == samples.input(3)


def test_they_go_to_a_worker_as_a_path(samples: Samples, tmp_path: Path) -> None:
    found = decoded(samples, tmp_path / "a.arrow")
    first = np.array(found.raw(0))
    sent = pickle.dumps(found.inputs)
    assert len(sent) < 10_000
    assert np.array_equal(pickle.loads(sent)[0], first)


def test_a_file_of_other_images_or_half_a_file_is_none(samples: Samples, tmp_path: Path) -> None:
    file = tmp_path / "a.arrow"
    assert opened(samples, file) is None
    found = decoded(samples, file)
    assert isinstance(found.inputs, Decoded)
    assert opened(samples.select(range(5)), file) is None
    file.write_bytes(file.read_bytes()[:-100])
    assert opened(samples, file) is None


def test_the_estimate_is_about_right(samples: Samples, tmp_path: Path) -> None:
    file = tmp_path / "a.arrow"
    decoded(samples, file)
    assert estimated_bytes(samples, 16) == pytest.approx(file.stat().st_size, rel=0.3)


def test_nothing_is_left_of_images_of_which_one_cannot_be_read(
    samples: Samples, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    inputs = Paths.under(tmp_path, ["bad.png"])
    with pytest.raises(BadFilesError, match=r"bad\.png"):
        list(decode(Samples(IMAGE, inputs), 16, tmp_path / "out" / "a.arrow"))
    assert list((tmp_path / "out").iterdir()) == []
