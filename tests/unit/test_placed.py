"""Batches of images made on the device: as Pillow resizes, distributed as workers augment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ks_2samp

from zoo.contract.spec import ImageInput
from zoo.data.loader import make_loader
from zoo.data.samples import Samples
from zoo.data.sequences import Listed
from zoo.modalities.augmentations import find_augmentation
from zoo.modalities.batches import BatchOptions
from zoo.modalities.image import device_batches as batches_module
from zoo.modalities.image.augmenting import _trivial
from zoo.modalities.image.batches import ImageBatches
from zoo.modalities.image.boxes import plain_boxes, random_boxes
from zoo.modalities.image.device_batches import PlacedBatches, device_batches
from zoo.modalities.image.modality import IMAGE
from zoo.modalities.image.placed import ImagePlacing, PlacedImages
from zoo.modalities.image.resampling import resample
from zoo.modalities.image.transforms import make_transform
from zoo.modalities.image.trivial_batch import OPERATIONS, trivial_batch
from zoo.system.tensors.draws import Draws
from zoo.system.tensors.torchvision_operators import transforms

CPU = torch.device("cpu")
SHAPES = [(64, 64), (40, 72), (57, 33), (90, 40), (17, 300), (20, 20)]


def images(shapes: Sequence[tuple[int, int]] = tuple(SHAPES)) -> list[Image.Image]:
    """Smooth noise of these heights and widths."""
    drawn = np.random.default_rng(0)
    return [
        Image.fromarray(drawn.integers(0, 256, (7, 7, 3), np.uint8)).resize((width, height), 3)
        for height, width in shapes
    ]


def samples(given: Sequence[Any]) -> Samples:
    names = tuple(f"{number}.png" for number in range(len(given)))
    return Samples(IMAGE, Listed(tuple(given), names), np.arange(len(given)) % 2)


def placed(given: Sequence[Any], image_input: ImageInput) -> Samples:
    placing = ImagePlacing(image_input)
    return placing.placed(samples(given), CPU, on_host=True, advance=lambda: None)


def batches(given: Samples, image_input: ImageInput, **options: Any) -> PlacedBatches:
    found = device_batches(given, image_input, BatchOptions(**options))
    assert isinstance(found, PlacedBatches)
    return found


def differences(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one.int() - other.int()).abs().float()


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("interpolation", "most"), [("bilinear", 1), ("bicubic", 8)])
@pytest.mark.parametrize(("dtype", "more"), [(torch.float32, 0), (torch.float16, 1)])
def test_images_are_cropped_resized_and_padded_as_by_pillow(
    crop_mode: Any,
    interpolation: Any,
    most: int,
    dtype: Any,
    more: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zoo.modalities.image.resampling.MULTIPLIED_IN", {"cpu": dtype})
    given = ImageInput(24, crop_mode=crop_mode, interpolation=interpolation)
    one_by_one = make_transform(given, train=False)
    expected = torch.stack([one_by_one.pixels(image) for image in images()])
    keys = [(0, index) for index in range(len(SHAPES))]
    found = batches(placed(images(), given), given).read(keys)["pixel_values"]
    assert found.dtype == torch.uint8
    difference = differences(found, expected)
    assert difference.max() <= most + more
    assert difference.mean() < 0.15


def test_a_crop_is_resized_and_mirrored_as_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    given, (image,) = ImageInput(24), images([(50, 70)])
    boxes = random_boxes(
        given, np.array([50]), np.array([70]), Draws(4, [(0, 0)]), flip=True, min_scale=0.2
    )
    rows, columns = boxes.rows, boxes.columns
    top, height, left, width = (
        int(each[0]) for each in (rows.start, rows.length, columns.start, columns.length)
    )
    assert (top, left) != (0, 0)
    assert (height, width) != (50, 70)
    crop = image.crop((left, top, left + width, top + height)).resize((24, 24), 2)
    monkeypatch.setattr(batches_module, "random_boxes", lambda *_, **__: boxes)
    for mirrored in (False, True):
        boxes.mirrored[0] = mirrored
        whole = batches(placed([image], given), given, train=True).read([(0, 0)])["pixel_values"][0]
        expected = np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else crop)
        assert differences(whole.permute(1, 2, 0), torch.from_numpy(expected.copy())).max() <= 1


def test_large_images_are_kept_no_larger_than_needed() -> None:
    given, (image,) = ImageInput(24), images([(330, 480)])
    kept = placed([image], given).inputs
    assert isinstance(kept, PlacedImages)
    assert (kept.heights[0], kept.widths[0]) == (55, 80)  # at least twice 24, by a whole factor
    found = batches(placed([image], given), given).read([(0, 0)])["pixel_values"][0]
    assert differences(found, make_transform(given, train=False).pixels(image)).mean() < 1


def test_a_batch_that_is_resized_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ImageInput(24)
    reader = batches(placed(images(), given), given, train=True, seed=3)
    keys = [(1, index) for index in range(len(SHAPES))]
    whole = reader.read(keys)["pixel_values"]
    monkeypatch.setattr("zoo.modalities.image.resampling.MOST_PIXELS", 2 * 300 * 90)
    assert torch.equal(reader.read(keys)["pixel_values"], whole)
    monkeypatch.setattr("zoo.modalities.image.resampling.WINDOWED", set())
    assert torch.equal(reader.read(keys)["pixel_values"], whole)


def test_only_the_rows_of_the_crops_are_copied_from_the_hosts_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ImageInput(24)
    inputs = placed(images(), given).inputs
    assert isinstance(inputs, PlacedImages)
    keys = [(0, index) for index in range(len(SHAPES))]
    boxes = random_boxes(
        given, inputs.heights, inputs.widths, Draws(0, keys), flip=True, min_scale=0.3
    )
    how: dict[str, Any] = {"size": 24, "interpolation": "bilinear", "colour": (0, 0, 0)}
    expected = resample(inputs.pixels, inputs.offsets, inputs.widths, boxes, **how)
    numbered = replace(inputs, device=torch.device("cpu:0"))
    with monkeypatch.context() as patch:
        patch.setattr(batches_module, "_copied", None)  # there is nothing to copy
        batches(replace(samples(images()), inputs=numbered), given).read(keys)
    copied, offsets = batches_module._copied(
        inputs.pixels, inputs.offsets, inputs.widths, boxes, CPU
    )
    assert len(copied) < len(inputs.pixels)
    below = replace(boxes, rows=replace(boxes.rows, start=np.zeros_like(offsets)))
    assert torch.equal(resample(copied, offsets, inputs.widths, below, **how), expected)


def test_validation_images_are_those_of_the_workers_to_the_bit(tmp_path: Path) -> None:
    given, files = ImageInput(24, interpolation="bicubic"), []
    for number, image in enumerate(images()):
        files.append(str(tmp_path / f"{number}.png"))
        image.save(files[-1])
    held = samples(files)
    loader = make_loader(ImageBatches(held, make_transform(given, train=False), 0), batch_size=4)
    prepared = ImagePlacing(given).prepared(held, loader, CPU, on_host=False)
    reader = device_batches(prepared, given, BatchOptions())
    assert reader is not None
    again = make_loader(reader, batch_size=4)
    for one, other in zip(loader, again, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one | other)
    chosen = prepared.select([3, 1])
    assert chosen.inputs.name(0) == "3.png"
    assert np.array_equal(chosen.raw(1), prepared.raw(1))


def test_placed_images_can_be_chosen_shown_and_named() -> None:
    given = ImageInput(24)
    chosen = placed(images(), given).select([4, 1])
    assert [chosen.input(index) for index in (0, 1)] == ["4.png", "1.png"]
    assert np.array_equal(np.asarray(chosen.raw(1)), np.asarray(images()[1]))


# -- random numbers ----------------------------------------------------------------------------


def test_a_samples_numbers_do_not_depend_on_the_rest_of_its_batch() -> None:
    keys = [(epoch, index) for epoch in range(3) for index in range(40)]
    many, few = Draws(7, keys), Draws(7, keys[50:52])
    first = many(3)
    assert np.array_equal(first[50:52], few(3))
    assert np.array_equal(many(2)[50:52], few(2))
    assert len(np.unique(first)) == first.size
    assert not np.array_equal(first, Draws(8, keys)(3))


def test_random_numbers_are_uniform_and_independent() -> None:
    drawn = Draws(0, [(epoch, index) for epoch in range(5) for index in range(2000)])(4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.012
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.03
    assert np.abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.03


DRAWN = 5000


@pytest.mark.parametrize("crop_mode", ["center", pytest.param("border", marks=pytest.mark.slow)])
def test_crops_and_flips_are_distributed_as_those_of_workers(crop_mode: Any) -> None:
    given, (height, width) = ImageInput(24, crop_mode=crop_mode), (60, 90)
    tall, wide = np.full(DRAWN, height), np.full(DRAWN, width)
    boxes = random_boxes(
        given, tall, wide, Draws(0, [(0, n) for n in range(DRAWN)]), flip=True, min_scale=0.35
    )
    ours = np.stack(
        [boxes.rows.start, boxes.columns.start, boxes.rows.length, boxes.columns.length]
    )
    aspect = 1.0 if crop_mode == "center" else width / height
    ratios = [aspect * 3 / 4, aspect * 4 / 3]
    crop = transforms().RandomResizedCrop.get_params
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = Image.new("RGB", (width, height))
        theirs = np.array([crop(image, [0.35, 1.0], ratios) for _ in range(DRAWN)]).T
    for measure in (_top, _left, _area, _ratio):
        assert ks_2samp(measure(ours), measure(theirs)).pvalue > 0.01, measure
    assert abs(boxes.mirrored.mean() - 0.5) < 0.025
    never = random_boxes(given, tall, wide, Draws(0, [(0, 0)] * DRAWN), flip=False, min_scale=0.35)
    assert not never.mirrored.any()


def _top(crops: NDArray[Any]) -> NDArray[Any]:
    top: NDArray[Any] = crops[0]
    return top


def _left(crops: NDArray[Any]) -> NDArray[Any]:
    left: NDArray[Any] = crops[1]
    return left


def _area(crops: NDArray[Any]) -> NDArray[Any]:
    area: NDArray[Any] = crops[2] * crops[3]
    return area


def _ratio(crops: NDArray[Any]) -> NDArray[Any]:
    ratio: NDArray[Any] = crops[3] / crops[2]
    return ratio


def test_images_that_no_crop_fits_are_cropped_to_the_middle_as_by_torchvision() -> None:
    tall, wide, given = np.array([10, 400]), np.array([400, 10]), ImageInput(24)
    boxes = random_boxes(given, tall, wide, Draws(0, [(0, 0), (0, 1)]), flip=False, min_scale=0.9)
    assert boxes.columns.length.tolist() == [13, 10]
    assert boxes.rows.length.tolist() == [10, 13]
    assert boxes.columns.start.tolist() == [193, 0]


def test_without_random_crops_images_are_cropped_as_in_validation() -> None:
    given = ImageInput(24, random_crop=False)
    tall, wide = np.array([40, 60]), np.array([70, 50])
    drawn = random_boxes(given, tall, wide, Draws(0, [(0, 0), (0, 1)]), flip=True, min_scale=0.1)
    plain = plain_boxes(given, tall, wide)
    assert np.array_equal(drawn.rows.target, plain.rows.target)
    assert np.array_equal(drawn.columns.shift, plain.columns.shift)


# -- TrivialAugment ----------------------------------------------------------------------------

ROUGH = {"Rotate": 0.02, "AutoContrast": 0.01}
"""Share of values that may differ: places between two pixels, quotients that are whole numbers."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions_of_single_images(name: str) -> None:
    v2 = transforms().v2
    single, how = _trivial(True), OPERATIONS[name]
    strengths, signed = single._AUGMENTATION_SPACE[name]
    given = [*images([(32, 32)] * 2), Image.new("RGB", (32, 32), (9, 80, 200))]
    stacked = torch.stack([v2.functional.pil_to_tensor(image) for image in given])
    assert signed == how.signed
    for level in (0, 1, 13, 20, 30):
        steps = strengths(31, 32, 32)
        for minus in (False, True) if signed else (False,):
            strength = 0.0 if steps is None else float(steps[level]) * (-1 if minus else 1)
            expected = [
                v2.functional.pil_to_tensor(
                    single._apply_image_or_video_transform(
                        image, name, strength, single.interpolation, {}
                    )
                )
                for image in given
            ]
            drawn = how.strengths(np.full(3, level), np.full(3, minus))
            found = how.apply(stacked, drawn)
            assert found.dtype == torch.uint8
            differing = (found != torch.stack(expected)).float().mean()
            assert differing <= ROUGH.get(name, 0), (level, minus)


def test_operations_are_drawn_equally_often_and_none_rotates_what_must_not_be_mirrored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: dict[str, int] = {}

    def counting(name: str) -> Any:
        def count(group: torch.Tensor, _: NDArray[Any]) -> torch.Tensor:
            counted[name] = len(group)
            return group

        return count

    for name, how in OPERATIONS.items():
        monkeypatch.setitem(OPERATIONS, name, how._replace(apply=counting(name)))
    many = torch.zeros(1400, 3, 1, 1, dtype=torch.uint8)
    keys = [(0, index) for index in range(len(many))]
    trivial_batch(many, flip=True, draw=Draws(0, keys))
    assert sorted(counted) == sorted(OPERATIONS)
    assert 65 < min(counted.values()) <= max(counted.values()) < 140
    counted.clear()
    trivial_batch(many, flip=False, draw=Draws(0, keys))
    assert "Rotate" not in counted


def test_an_image_is_augmented_alike_alone_and_in_a_batch_and_stays_in_its_place() -> None:
    stacked = torch.randint(0, 256, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    stacked = stacked.to(torch.uint8)
    keys = [(2, index) for index in range(24)]
    whole = trivial_batch(stacked, flip=True, draw=Draws(1, keys))
    assert not torch.equal(whole, stacked)
    for index in (0, 7, 23):
        part = slice(index, index + 1)
        alone = trivial_batch(stacked[part], flip=True, draw=Draws(1, keys[part]))
        assert torch.equal(alone, whole[part])


# -- on a GPU ----------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("on_host", [False, True])
def test_a_gpu_makes_the_same_batches_without_waiting(on_host: bool) -> None:
    given, gpu = ImageInput(24), torch.device("cuda")
    options: dict[str, Any] = {"train": True, "augment": find_augmentation("trivial", "image")}
    keys = [(epoch, index) for epoch in range(8) for index in range(len(SHAPES))]
    placing = ImagePlacing(given)
    kept = placing.placed(samples(images()), gpu, on_host=on_host, advance=lambda: None)
    reader, plain = (batches(each, given, **options) for each in (kept, placed(images(), given)))
    reader.read(keys)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = reader.read(keys)["pixel_values"]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = plain.read(keys)["pixel_values"]
    # An operation may multiply a difference of 1, at a threshold by much.
    assert (differences(found.cpu(), expected) > 2).float().mean() < 0.02
