"""JPEGs decoded on the device in every epoch, or in workers: whichever is faster."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.test_placed import SHAPES, differences, images, samples
from zoo.contract.spec import ImageInput
from zoo.data.loader import BatchReader, TensorBatch
from zoo.data.samples import Samples
from zoo.data.sequences import Paths
from zoo.engine.placement import measured_speeds
from zoo.modalities.batches import BatchOptions
from zoo.modalities.image import device_batches as batches_module
from zoo.modalities.image import device_jpeg, placed
from zoo.modalities.image.device_batches import StreamedBatches, device_batches
from zoo.modalities.image.placed import ImagePlacing
from zoo.modalities.image.transforms import make_transform

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """JPEGs, for a device that decodes as Pillow does."""

    def decoded(contents: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
        opened = (Image.open(io.BytesIO(each.numpy().tobytes())) for each in contents)
        return [
            torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).to(device)
            for image in opened
        ]

    monkeypatch.setattr(device_jpeg, "_decode_jpegs", decoded)
    monkeypatch.setattr(placed, "can_decode", lambda _: True)
    names = []
    for number, image in enumerate(images()):
        names.append(str(tmp_path / f"{number}.jpg"))
        image.save(names[-1])
    return names


def of_files(names: Sequence[str]) -> Samples:
    return replace(samples(names), inputs=Paths.under("", names))


def streamed(names: Sequence[str], given: ImageInput, **options: Any) -> StreamedBatches:
    found = ImagePlacing(given).streamed(of_files(names), CPU)
    assert found is not None
    assert found.input(1) == names[1]
    reader = device_batches(found.select(range(len(names))), given, BatchOptions(**options))
    assert isinstance(reader, StreamedBatches)
    return reader


def test_streamed_images_are_prepared_as_by_pillow(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, keys = ImageInput(24), [(0, index) for index in range(len(SHAPES))]
    one_by_one = make_transform(given, train=False)
    expected = torch.stack([one_by_one.pixels(one_by_one.read(name, name)) for name in files])
    found = streamed(files, given).read(keys)["pixel_values"]
    assert differences(found, expected).max() <= 1
    monkeypatch.setattr(batches_module, "MOST_PIXELS", 70 * 70)
    assert torch.equal(streamed(files, given).read(keys)["pixel_values"], found)


def test_files_that_the_device_cannot_decode_are_decoded_on_the_host(
    files: list[str], tmp_path: Path
) -> None:
    turned, png = images()[1], tmp_path / "other.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(files[1], exif=exif)
    images()[2].save(png)
    names = [files[0], files[1], str(png), files[3]]
    assert [device_jpeg.is_plain_jpeg(name) for name in names] == [True, False, False, True]
    assert not device_jpeg.is_plain_jpeg(b"\xff\xd8\xff damaged")
    given = ImageInput(24)
    one_by_one = make_transform(given, train=False)
    expected = torch.stack([one_by_one.pixels(one_by_one.read(name, name)) for name in names])
    assert ImagePlacing(given).streamed(of_files([str(png)] * 3), CPU) is None
    found = streamed(names, given).read([(0, index) for index in range(4)])["pixel_values"]
    assert differences(found, expected).max() <= 1


def test_what_is_streamed_is_augmented_like_what_is_placed(files: list[str]) -> None:
    given, keys = ImageInput(24), [(3, index) for index in range(len(SHAPES))]
    options = {"train": True, "seed": 5}
    kept = ImagePlacing(given).placed(samples(files), CPU, on_host=True, advance=lambda: None)
    reader = device_batches(kept, given, BatchOptions(**options))  # type: ignore[arg-type]
    assert reader is not None
    found = streamed(files, given, **options).read(keys)["pixel_values"]
    assert torch.equal(found, reader.read(keys)["pixel_values"])


def test_nothing_is_streamed_without_nvjpeg(tmp_path: Path) -> None:
    assert not device_jpeg.can_decode(CPU)
    assert ImagePlacing(ImageInput(24)).streamed(of_files(["0.jpg"]), CPU) is None
    assert ImagePlacing(ImageInput(24)).streamed(samples(images()), CPU) is None


class Reads(BatchReader):
    """Takes some seconds for each sample, by a clock of its own."""

    def __init__(self, clock: list[float], seconds: float, error: Exception | None = None) -> None:
        self._clock, self._seconds, self._error = clock, seconds, error

    def read(self, keys: Sequence[tuple[int, int]]) -> TensorBatch:
        if self._error:
            raise self._error
        self._clock[0] += self._seconds * len(keys)
        return {}


def test_the_speeds_of_the_device_and_of_all_workers_are_measured() -> None:
    clock, batches = [0.0], [[(0, 0)] * 4] * 3

    def measured(device: Reads) -> dict[str, float]:
        return measured_speeds(
            batches,
            device,
            Reads(clock, 0.5),
            processes=8,
            wait=lambda: None,
            clock=lambda: clock[0],
        )

    assert measured(Reads(clock, 0.1)) == {
        "device": pytest.approx(10),
        "workers": pytest.approx(16),
    }
    assert measured(Reads(clock, 0.1, RuntimeError("not compiled with nvJPEG"))) == {}
