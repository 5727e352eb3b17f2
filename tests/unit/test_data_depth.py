"""Images with more than 8 bits: one scale for a dataset, kept to the network."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import zoo
from tests.decoded import decoded_once
from tests.opened import open_data
from zoo.contract.spec import ImageInput
from zoo.data.samples import Samples, Splits
from zoo.data.sequences import Paths
from zoo.engine.progress import Quiet
from zoo.errors import BadFilesError, ContractError, UsageError
from zoo.modalities import IMAGE
from zoo.modalities.augmentations import find_augmentation
from zoo.modalities.image.bit_depth import extent
from zoo.modalities.image.decoded import Decoded, ImageDecoding
from zoo.modalities.image.exporting import steps as image_steps
from zoo.modalities.image.not_seen import Reading, reading_in_words, reading_record
from zoo.modalities.image.reading import read_image
from zoo.modalities.image.traits import TRAITS, note_values, range_of
from zoo.modalities.image.transforms import make_transform
from zoo.ranking.ranking import Watch

TRIVIAL = find_augmentation("trivial", "image")

SIDE = 24


class Notes(Quiet):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def grey(kind: str, seed: int) -> Image.Image:
    """The same image in several depths; its values cover the lowest 40 % of their range."""
    share = 0.4 * np.random.default_rng(seed).random((SIDE, SIDE))
    if kind == "8 bits":
        return Image.fromarray((255 * share).astype(np.uint8))
    if kind == "12 bits of 16":
        return Image.fromarray((4095 * share).astype(np.uint16))
    if kind == "CT numbers":
        return Image.fromarray((3000 * share - 1024).astype(np.int32))
    share[0, 0] = 1e6  # an odd pixel
    return Image.fromarray(share.astype(np.float32))


def folder_of(folder: Path, kind: str, count: int = 6) -> Path:
    for index in range(count):
        path = folder / "ab"[index % 2] / f"{index}.{'png' if 'bits' in kind else 'tif'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey(kind, index).save(path)
    return folder


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("12 bits of 16", 0, 2047),  # the bits that 40 % of 4095 take
        ("CT numbers", -1024, 176),
        ("float", 0, 0.4),
    ],
)
def test_the_range_of_a_dataset_is_found_from_all_its_images(tmp_path, kind, low, high):
    splits = open_data(folder_of(tmp_path, kind), kind=IMAGE)
    found = range_of(splits.train.traits)
    assert found == pytest.approx((low, high), abs=0.02 * (high - low))
    assert reading_record(ImageInput(), splits, given=False)["deep"] == 6


def test_images_of_8_bits_have_no_range(tmp_path):
    splits = open_data(folder_of(tmp_path, "8 bits"), kind=IMAGE)
    assert range_of(splits.train.traits) == ()


@pytest.mark.parametrize("train", [False, True])
def test_12_bits_in_16_reach_the_network_as_the_same_image_of_8_bits_and_finer(train):
    deep = make_transform(ImageInput(size=16, value_range=(0, 4095)), train)
    plain = make_transform(ImageInput(size=16), train)
    seen = deep(deep.read(grey("12 bits of 16", 1), "x"), seed=3)
    known = plain(plain.read(grey("8 bits", 1), "x"), seed=3)
    torch.testing.assert_close(seen, known, atol=0.04, rtol=0)
    assert len(seen[0].unique()) > 1.5 * len(known[0].unique())


@pytest.mark.parametrize(("low", "high"), [(-1024, 3071), (0.0, 1.0)])
def test_black_and_white_are_the_ends_of_the_range_and_all_between_is_kept(low, high):
    values = np.linspace(low - 1, high + 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    seen = np.asarray(read_image(Image.fromarray(values), values=(low, high)))
    expected = 255 * np.clip((values.astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(seen, expected, atol=0.02)


def test_nan_is_black_and_does_not_count_for_the_range():
    values = np.full((SIDE, SIDE), 5, np.float32)
    values[:12] = np.nan
    values[12] = 7
    assert extent(Image.fromarray(values)) == (5, 7)
    assert np.asarray(read_image(Image.fromarray(values), values=(5, 7)))[0, 0] == 0
    assert extent(Image.fromarray(np.full((4, 4), np.nan, np.float32))) == (0, 0)


def test_a_deep_image_without_a_known_range_is_an_error(tmp_path):
    grey("12 bits of 16", 0).save(tmp_path / "x.png")
    with pytest.raises(BadFilesError, match=r"x\.png.*8") as caught:
        read_image(tmp_path / "x.png")
    assert "--range LOW HIGH" in caught.value.hint


def test_a_deep_image_is_reduced_by_blocks_as_pillow_reduces_it(monkeypatch):
    monkeypatch.setattr("zoo.modalities.image.bit_depth._STRIP", 100)
    values = np.random.default_rng(0).integers(0, 4095, (50, 70)).astype(np.uint16)
    seen = read_image(Image.fromarray(values), size=8, values=(0, 4095))
    whole = Image.fromarray((values / 4095 * 255).astype(np.float32)).reduce(3)
    np.testing.assert_allclose(np.asarray(seen), np.asarray(whole), atol=1e-3)


def test_decoded_deep_images_are_those_that_decoding_gives(tmp_path):
    grey("CT numbers", 0).save(tmp_path / "x.tif")
    samples = Samples(IMAGE, Paths.under(tmp_path, ["x.tif"]), np.zeros(1, np.int64))
    values = (-1024.0, 176.0)
    found = decoded_once(samples, ImageDecoding(8, values), tmp_path / "cache")
    assert isinstance(found.inputs, Decoded)
    other = decoded_once(samples, ImageDecoding(8, (0.0, 9.0)), tmp_path / "cache")
    assert not np.array_equal(other.raw(0), found.raw(0))
    again = read_image(found.raw(0), size=8, values=values)
    assert np.array_equal(again, read_image(tmp_path / "x.tif", size=8, values=values))


def test_trivial_augmentation_keeps_floats_between_black_and_white():
    spec = ImageInput(size=16, value_range=(0, 4095))
    transform = make_transform(spec, True, augment=TRIVIAL)
    for seed in range(12):
        pixels = transform.pixels(transform.read(grey("12 bits of 16", 1), "x"), seed=seed)
        assert pixels.dtype == torch.float32
        assert pixels.shape == (3, 16, 16)
        assert 0 <= pixels.min() <= pixels.max() <= 255


def test_images_of_8_bits_and_deeper_ones_share_a_batch():
    transform = make_transform(ImageInput(size=16, value_range=(0, 4095)), False)
    kinds = ("8 bits", "12 bits of 16")
    read = [transform.read(grey(kind, 1), "x") for kind in kinds]
    batch = transform.together([transform.pixels(each) for each in read])
    assert batch.shape == (2, 3, 16, 16)
    torch.testing.assert_close(batch[0], batch[1], atol=0.04, rtol=0)


# -- pixels without data, and images on another scale -------------------------------------------


@pytest.mark.parametrize(
    ("kind", "nodata"),
    [(np.float32, -9999.0), (np.float32, -3.4028234663852886e38), (np.int32, -32768), (np.uint16, 65535)],
)  # fmt: skip
def test_pixels_without_data_are_black_and_count_for_no_range(tmp_path, kind, nodata):
    for index in range(6):
        values = np.linspace(100, 200, SIDE * SIDE).reshape(SIDE, SIDE).astype(kind)
        values[:10] = nodata
        path = tmp_path / "ab"[index % 2] / f"{index}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path, tiffinfo={42113: f"{nodata!r} "})
    splits = open_data(tmp_path, kind=IMAGE)
    low, high = range_of(splits.train.traits)
    assert (low, high) == ((0, 255) if kind is not np.float32 else pytest.approx((142, 200), abs=1))
    seen = np.asarray(read_image(path, values=(low, high)))
    assert (seen[:10] == 0).all()
    assert seen[-1, -1] == pytest.approx(255 * min(1, (200 - low) / (high - low)), abs=0.5)
    spec = ImageInput(value_range=(low, high))
    assert reading_record(spec, splits, given=False)["nodata"] == 6
    assert "without data" in reading_in_words(spec, splits, given=False)["nodata"]


def test_an_image_without_any_data_is_black_and_does_not_count():
    image = Image.fromarray(np.full((4, 4), -1, np.float32))
    image.tag_v2 = {42113: "-1"}
    traits = np.zeros(2, TRAITS)
    note_values(image, traits[:1])
    note_values(Image.fromarray(np.float32([[3, 5]])), traits[1:])
    assert range_of(traits) == (3, 5)
    assert range_of(traits[:1]) == (0, 1)
    assert np.asarray(read_image(image, values=(3, 5))).max() == 0
    assert Reading(ImageInput(value_range=(3, 5))).misfits(traits) == {}


def images_of(folder: Path, **values: NDArray[np.generic]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in values.items():
        Image.fromarray(each).save(folder / f"{name}.png")
    return folder


def test_an_image_on_another_scale_than_training_is_refused_and_left_out_when_asked(tmp_path):
    data = folder_of(tmp_path / "data", "12 bits of 16", 12)
    run = zoo.finetune(
        "cnn", data, epochs=1, image_size=16, workers=0, output=tmp_path / "run",
        device="cpu", reporter=Quiet(),
    )  # fmt: skip
    assert run.record["data"]["images"]["all_deep"] is True
    assert run.record["data"]["images"]["windowed"] is False
    draw = np.random.default_rng(0)
    new = images_of(
        tmp_path / "new",
        bright=draw.integers(40_000, 65_535, (SIDE, SIDE)).astype(np.uint16),
        shallow=draw.integers(0, 255, (SIDE, SIDE)).astype(np.uint8),
        some=np.where(draw.random((SIDE, SIDE)) < 0.2, 9000, 900).astype(np.uint16),
    )
    with pytest.raises(BadFilesError, match=r"bright\.png.*0.*2047"):
        run.predict([new], workers=0)
    told = Notes()
    bright, shallow, some = run.predict([new], bad_files="skip", workers=0, reporter=told)
    assert "0 to 2047, the range of the training images" in bright.to_json()["error"]
    assert shallow.to_json()["unread"] == ["shallow"]
    assert some.to_json()["unread"] == ["beyond"]
    assert told.told == [
        "values outside 0 to 2047 in 1 of 2 images; they become black or white",
        "8 bits per pixel in 1 of 2 images, with 0 black and 255 white; the training images had "
        "more, with black and white at 0 to 2047",
    ]
    # evaluate
    for name in "ab":
        images_of(tmp_path / "other" / name, bright=np.asarray(Image.open(new / "bright.png")))
        images_of(tmp_path / "other" / name, good=np.asarray(Image.open(new / "some.png")) // 5)
    with pytest.raises(BadFilesError, match="more than half"):
        run.evaluate(tmp_path / "other", workers=0)
    result = run.evaluate(tmp_path / "other", bad_files="skip", workers=0)["all"]
    assert result.samples == 2
    assert result.notes[0].startswith("2 of 4 images")
    for name in "ab":
        (tmp_path / "other" / name / "good.png").unlink()
    with pytest.raises(BadFilesError, match="2 inputs cannot be used"):
        run.evaluate(tmp_path / "other", bad_files="skip", workers=0)
    # features
    Image.open(new / "some.png").save(tmp_path / "other" / "a" / "some.png")
    with pytest.raises(BadFilesError, match="2 inputs cannot be used"):
        zoo.embed(tmp_path / "run", tmp_path / "other", output=tmp_path / "x.npy", workers=0)
    kept_features = zoo.embed(
        tmp_path / "run", tmp_path / "other", output=tmp_path / "x.npy", workers=0, bad_files="skip",
        device="cpu",
    )  # fmt: skip
    assert (kept_features.samples, len(kept_features.skipped)) == (1, 2)
    assert kept_features.notes == (
        "0 is black and 2047 white; 1 image has more than 8 bits per pixel",
        "values outside 0 to 2047 in 1 of 1 image; they become black or white",
    )
    (tmp_path / "other" / "a" / "some.png").unlink()
    with pytest.raises(BadFilesError, match="2 inputs cannot be used"):
        zoo.embed(tmp_path / "run", tmp_path / "other", output=tmp_path / "x.npy", bad_files="skip")
    # a server
    with pytest.raises(BadFilesError, match="more than half"):
        run.predictor(device="cpu").prepare(str(new / "bright.png"), "x")
    assert run.predictor(device="cpu").prepare(str(new / "some.png"), "x").unread == ("beyond",)


def test_what_lies_beyond_a_window_that_training_had_too_is_reported_and_answered():
    draw = np.random.default_rng(0)
    traits = np.zeros(20, TRAITS)
    for row in range(20):
        note_values(Image.fromarray(draw.normal(-900, 300, (9, 9)).astype(np.int32)), traits[row:])
    spec = ImageInput(value_range=(-160, 240))
    samples = Samples(IMAGE, Paths.under(".", ["x"] * 20), traits=traits)
    splits = Splits(IMAGE, ("a", "b"), samples, None, None, "", "", task="single-label")
    assert reading_record(spec, splits, given=True)["windowed"] is True
    assert len(Reading(spec).misfits(traits)) == 20
    assert Reading(spec, windowed=True).misfits(traits) == {}
    assert Reading(spec, windowed=True).in_words(traits)["beyond"].startswith("values outside -160")


def test_a_range_that_makes_all_images_white_is_refused(tmp_path):
    data = folder_of(tmp_path / "data", "12 bits of 16")
    with pytest.raises(
        UsageError, match=r"value_range=\(0, 1\) does not fit .* 6 of 6|5 of 5|4 of 4"
    ):
        zoo.finetune("cnn", data, value_range=(0, 1), output=tmp_path / "run", reporter=Quiet())


def test_a_ranking_reads_deep_images_on_one_scale_and_says_so(tmp_path):
    told = Notes()
    zoo.recommend(
        folder_of(tmp_path / "data", "12 bits of 16", 12), ["cnn"], weights="none", samples=12,
        device="cpu", workers=0, time_limit=None, watch=Watch(told),
    )  # fmt: skip
    assert told.told[0] == "0 is black and 2047 white; 12 images have more than 8 bits per pixel"


# -- what of an image is not seen ---------------------------------------------------------------


def test_predictions_and_evaluations_say_what_of_the_images_is_not_seen(tmp_path):
    run = zoo.finetune(
        "cnn", folder_of(tmp_path / "data", "8 bits"), epochs=1, image_size=16, workers=0, output=tmp_path / "run",
        device="cpu", reporter=Quiet(),
    )  # fmt: skip
    new = tmp_path / "new" / run.classes[0]
    new.mkdir(parents=True)
    frames = [Image.new("RGB", (20, 20), (value, 0, 0)) for value in (0, 200)]
    frames[0].save(new / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].resize((90, 20)).save(new / "wide.png")
    frames[1].save(new / "whole.png")
    told = Notes()
    found = run.predict([new], workers=0, reporter=told)
    assert [each.to_json().get("unread") for each in found] == [["frames"], None, ["crop"]]
    assert told.told == [
        "several frames in 1 of 3 images; only the first is used",
        "more than 40 % of the longer side is cropped in 1 of 3 images; as in training "
        "(zoo finetune --resize pad or squash keeps the whole image)",
    ]
    parallel = run.predict([new], workers=2)
    assert [each.to_json() for each in parallel] == [each.to_json() for each in found]
    evaluated = Notes()
    result = run.evaluate(new.parent, workers=0, reporter=evaluated)["all"]
    assert result.to_json()["notes"] == told.told
    assert set(told.told) <= set(evaluated.told)
    server = run.predictor(device="cpu")
    assert server.prepare((new / "wide.png").read_bytes(), "x").unread == ("crop",)
    assert server.prepare(str(new / "whole.png"), "x").unread == ()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_a_color_are_counted_in_training_and_in_answers(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("zoo.modalities.image.reading.has_tifffile", lambda: False)
    content = deep_rgb(kind)
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(3):
            (tmp_path / name / f"{index}.{kind.lower()}").write_bytes(content)
    splits = open_data(tmp_path, kind=IMAGE)
    words = reading_in_words(ImageInput(), splits, given=False)["halved"]
    assert words == "16 bits per channel in 6 of 6 images; only the upper 8 are used"
    transform, traits = make_transform(ImageInput(size=16), False), np.zeros(1, TRAITS)
    transform.read(content, "x", traits)
    assert Reading(ImageInput()).names(traits) == (("halved",),)


def deep_rgb(kind: str) -> bytes:
    """16 x 16 pixels of 16 bits a color, which Pillow reads and does not write."""
    values = np.full((16, 16, 3), 0x7FFF)
    if kind == "PNG":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        ]
        packed = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    data = values.astype("<u2").tobytes()
    after = 8 + len(data) + 6  # the header, the pixels, and the bits of each color
    tags = [
        (256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 16), (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", after)
    bits = struct.pack("<HHH", 16, 16, 16)
    return head + data + bits + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def test_further_frames_and_bands_and_long_sides_are_counted(tmp_path):
    for index in range(6):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (90, 30), (index, 0, 0)).save(tmp_path / "ab"[index % 2] / f"{index}.png")
    frames = [Image.new("L", (20, 20), value) for value in (0, 200)]
    frames[0].save(tmp_path / "a" / "stack.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (20, 20)).save(tmp_path / "b" / "inks.jpg")
    splits = open_data(tmp_path, kind=IMAGE, val_split=0.3)
    found = reading_record(ImageInput(), splits, given=False)
    assert [found[name] for name in ("frames", "bands", "deep", "crop")] == [2, 0, 0, 6]


@pytest.mark.parametrize("resize", ["pad", "squash"])
@pytest.mark.parametrize("train", [False, True])
def test_padding_and_squashing_keep_both_ends_of_a_long_image(resize, train):
    modes = {"pad": "border", "squash": "squash"}
    spec = ImageInput(size=40, crop=1.0, crop_mode=modes[resize], mean=(0.5,) * 3, std=(1,) * 3)
    image = Image.new("RGB", (320, 40), "white")
    image.paste("black", (0, 0, 160, 40))
    transform = make_transform(spec, train, flip=False, min_scale=1.0)
    row = transform(image, seed=1)[0, 20]
    assert row[2] < -0.4
    assert row[-3] > 0.4


def test_a_run_records_its_range_and_predicts_by_it(tmp_path):
    data = folder_of(tmp_path / "data", "12 bits of 16", 12)
    run = zoo.finetune(
        "cnn", data, epochs=1, image_size=16, workers=0, resize="pad",
        output=tmp_path / "run", reporter=Quiet(),
    )  # fmt: skip
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["spec"]["input"]["value_range"] == [0, 2047]
    assert record["spec"]["input"]["crop_mode"] == "border"
    assert record["data"]["images"]["deep"] == 12
    assert record["data"]["images"]["value_range_given"] is False
    path = data / "a" / "0.png"
    kept = run.evaluate(data)["val"].metrics
    assert kept["accuracy"] == run.metrics["accuracy"]
    prepared = run.predictor()
    found = prepared.prepare(str(path), "x")
    pixels = found.content
    values = np.asarray(Image.open(path)).astype(float) * 255 / 2047
    assert float(pixels.max()) == pytest.approx(float(values.max()), rel=0.3)
    (alone,) = run.predict([path])
    outputs = prepared.outputs([found])[0]
    assert prepared.answer(found, outputs).label == alone.label


@pytest.mark.parametrize("given", [(5, 5), (9, 1), (0, float("nan"))])
def test_a_range_that_is_not_one_is_refused(given):
    with pytest.raises(UsageError, match="value_range"):
        zoo.finetune("cnn", value_range=given)


def test_an_unknown_way_to_resize_is_refused():
    with pytest.raises(UsageError, match=r"resize.*crop, pad, squash"):
        zoo.finetune("cnn", resize="stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field",
    [
        {"crop": 1e-6}, {"size": 4096, "crop": 0.2}, {"mean": (1e9,) * 3}, {"std": (0.0,) * 3},
        {"min_size": 10**9}, {"multiple_of": 10**9}, {"value_range": (1.0,)},
        {"std": (float("nan"),) * 3},
    ],
)  # fmt: skip
def test_an_input_that_would_take_gigabytes_or_make_no_sense_is_refused(field):
    with pytest.raises(ContractError):
        ImageInput.from_json(ImageInput(**field).to_json())


_PEAK = """
import resource, sys
from zoo.modalities.image.reading import read_image
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
read_image(sys.argv[1], size=224, values=(0, 4095))
print(peak() - before)
"""


@pytest.mark.long
@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize(
    ("mode", "most"), [pytest.param("I;16", 0.7e9, marks=pytest.mark.long), ("RGBA", 1.6e9)]
)
def test_reading_the_largest_images_takes_no_more_than_is_promised(tmp_path, mode, most):
    path = tmp_path / "large.png"
    Image.new(mode, (13_377, 13_377)).save(path, compress_level=1)
    command = [sys.executable, "-W", "ignore", "-c", _PEAK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < most


def test_a_deep_image_is_turned_upright():
    values = np.zeros((10, 20), np.uint16)
    values[:, :5] = 4095
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(values).save(file, "PNG", exif=exif)
    seen = read_image(file.getvalue(), values=(0, 4095))
    assert seen.size == (10, 20)
    assert np.asarray(seen)[:5].min() == 255
    assert np.asarray(seen)[5:].max() == 0


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("kind", ["12 bits of 16", "transparent", "long", "large", "nodata"])
def test_the_guide_s_own_code_prepares_images_as_the_zoo_does(tmp_path, mode, kind):
    guide = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = (block for block in guide.split("```python\n") if "def prepare(path" in block)
    names: dict[str, Any] = {}
    exec(code.split("```")[0], names)
    made = {
        "12 bits of 16": lambda: grey("12 bits of 16", 1),
        "large": lambda: grey("12 bits of 16", 1).resize((200, 150)),
        "transparent": lambda: Image.new("RGBA", (30, 20), (200, 10, 90, 100)),
        "long": lambda: Image.linear_gradient("L").resize((700, 20)).convert("RGB"),
    }
    if kind == "nodata":
        values = np.asarray(grey("CT numbers", 1)) + 2000
        values[:, :9] = -32768
        Image.fromarray(values).save(tmp_path / "x.tif", tiffinfo={42113: "-32768"})
        (tmp_path / "x.tif").rename(tmp_path / "x.png")
    else:
        made[kind]().save(tmp_path / "x.png")
    given = ImageInput(size=16, crop_mode=mode, value_range=(0, 4095))
    transform = make_transform(given, False)
    known = transform(transform.read(str(tmp_path / "x.png"), "x"))
    steps = json.loads(json.dumps(image_steps(given)))
    seen = names["prepare"](tmp_path / "x.png", steps)
    np.testing.assert_allclose(seen, known.numpy(), atol=1e-4)
