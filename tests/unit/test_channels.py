"""Images of 1, 4 and many channels, of 8 bits and more, and networks fitted to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from tests.opened import open_data
from tests.unit.test_data_augment import TRIVIAL
from zoo.contract.network.channels import first_convolutions, fit_channels
from zoo.contract.spec import ImageInput
from zoo.engine.progress import Quiet
from zoo.errors import BadFilesError, ContractError, UsageError
from zoo.modalities import IMAGE
from zoo.modalities.image.arrays import FoundArray, NoArray, read_npy
from zoo.modalities.image.bands import read_bands
from zoo.modalities.image.reading import found_in, read_image
from zoo.modalities.image.transforms import make_transform

SIX = np.arange(20 * 24 * 6, dtype=np.uint16).reshape(20, 24, 6)


def _npy(folder: Path, array: Any, name: str = "a.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


def _read(source: Any, channels: int, values: tuple[float, ...] = ()) -> Any:
    return read_bands(source, channels, values, name="x")


# -- reading -----------------------------------------------------------------------------------


def test_a_tiff_of_six_bands_is_read_whole_however_it_is_laid_out(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    bands_first = np.moveaxis(SIX, -1, 0)
    plain = {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "contig.tif", SIX, planarconfig="contig", **plain)
    tifffile.imwrite(tmp_path / "lzw.tif", SIX, planarconfig="contig", compression="lzw", **plain)
    tifffile.imwrite(tmp_path / "planes.tif", bands_first, planarconfig="separate", **plain)
    tifffile.imwrite(tmp_path / "pages.tif", bands_first)
    for path in sorted(tmp_path.iterdir()):
        expected = SIX / 10_000 * 255
        np.testing.assert_allclose(_read(path, 6, (0, 10_000)), expected, atol=1e-4)
        assert read_image(path, values="own").size == (24, 20)  # for thumbnails
    assert isinstance(found_in(tmp_path / "contig.tif", "x"), FoundArray)
    deep = np.full((20, 24, 3), 0x7FFF, np.uint16)
    tifffile.imwrite(tmp_path / "rgb.tif", deep, photometric="rgb")
    assert _read(tmp_path / "rgb.tif", 3, (0, 0xFFFF))[0, 0, 0] == pytest.approx(127.498, abs=1e-3)


def test_arrays_keep_every_bit_and_channel(tmp_path: Path) -> None:
    for given in (SIX, _npy(tmp_path, SIX), _npy(tmp_path, np.moveaxis(SIX, -1, 0), "b.npy")):
        assert np.array_equal(_read(given, 6, (0, 255)), np.clip(SIX, 0, 255))
    tensor = torch.from_numpy(np.moveaxis(SIX.astype(np.float32), -1, 0).copy())
    assert np.array_equal(_read(tensor, 6, (0, 255)), np.clip(SIX, 0, 255))
    halves = np.full((8, 8, 5), 0.5, np.float32)
    assert np.array_equal(_read(halves, 5), np.full((8, 8, 5), 127.5))
    assert _read(np.ones((8, 8, 5), bool), 5).max() == 255
    with pytest.raises(BadFilesError, match="more than 8 bits"):
        _read(halves + 1, 5)


def test_images_of_pillow_become_grey_opaque_or_keep_their_alpha() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 40))
    assert _read(image, 4)[0, 0].tolist() == [255, 0, 0, 40]
    assert _read(image.convert("RGB"), 4)[0, 0].tolist() == [255, 0, 0, 255]
    assert _read(image.convert("RGB"), 1)[0, 0].tolist() == [76]
    assert _read(image, 1)[0, 0].tolist() == [227]  # on white
    assert _read(np.asarray(image)[..., :3] / 256, 1).dtype == np.float32
    assert _read(image.convert("L"), 2)[0, 0].tolist() == [76, 255]
    assert _read(SIX, 3, (0, 255))[0, 0].tolist() == [0, 1, 2]
    with pytest.raises(BadFilesError, match="has 3 channels, but the network takes 6"):
        _read(image.convert("RGB"), 6)


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    good = _npy(tmp_path, SIX).read_bytes()
    (tmp_path / "cut.npy").write_bytes(good[:-9])
    _npy(tmp_path, np.zeros((2, 2, 2, 2)), "four.npy")
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("cut", "four", "text", "pickle"):
        with pytest.raises(NoArray):
            read_npy((tmp_path / f"{name}.npy").read_bytes())
        with pytest.raises(BadFilesError, match="cannot be read as an image: "):
            _read(tmp_path / f"{name}.npy", 6)
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + b"\x08\0\0\0\0\0")
    with pytest.raises(BadFilesError, match="cannot be read as an image"):
        _read(tmp_path / "bad.tif", 6)


def test_arrays_that_claim_too_much_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = _npy(tmp_path, SIX).read_bytes()
    more = good.replace(b"(20, 24, 6), }    ", b"(200000, 24, 6), }")
    assert len(more) == len(good)
    with pytest.raises(NoArray, match="declares 57,600,000 bytes of values, but it contains 5,760"):
        read_npy(more)
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    monkeypatch.setattr("zoo.modalities.image.arrays.MAX_BYTES", 5000)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(SIX, -1, 0))
    with pytest.raises(BadFilesError, match="expands to 5,760 bytes; the limit is 5,000"):
        _read(tmp_path / "a.tif", 6)


# -- preparing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("channels", [1, 4, 6])
def test_every_step_works_on_every_number_of_channels(crop_mode: Any, channels: int) -> None:
    given = ImageInput(size=16, channels=channels, crop_mode=crop_mode)
    array = np.random.default_rng(0).integers(0, 255, (30, 20, channels), dtype=np.uint8)
    for train in (False, True):
        for augment in (None, TRIVIAL):
            transform = make_transform(given, train, augment=augment)
            image = transform.read(array, "x")
            for seed in range(3 * train + 1):
                pixels = transform.pixels(image, seed=seed)
                assert pixels.shape == (channels, 16, 16)
                assert pixels.dtype == torch.uint8
            assert transform(image, seed=0).dtype == torch.float32


def test_three_channels_as_a_tensor_are_prepared_as_by_pillow() -> None:
    array = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    transform = make_transform(ImageInput(size=24), train=False)
    image = transform.pixels(Image.fromarray(array))
    tensor = transform.pixels(torch.from_numpy(array).permute(2, 0, 1))
    assert (image.int() - tensor.int()).abs().max() <= 2


@pytest.mark.parametrize("source", ["image", "tensor"])
def test_mirroring_and_cropping_can_be_switched_off(source: str) -> None:
    array = np.zeros((32, 32, 3), np.uint8)
    array[:16, :8] = 255
    image: Any = Image.fromarray(array)
    if source == "tensor":
        image = torch.from_numpy(array).permute(2, 0, 1)
    still = ImageInput(size=16, crop=1.0, flip=False, random_crop=False)
    plain = make_transform(still, train=False).pixels(image)
    varied = make_transform(still, train=True)
    assert all(torch.equal(varied.pixels(image, seed=seed), plain) for seed in range(8))
    mirrored = make_transform(dataclasses.replace(still, flip=True), train=True)
    found = [mirrored.pixels(image, seed=seed) for seed in range(8)]
    assert any(torch.equal(each, plain.flip(-1)) for each in found)
    cropped = make_transform(dataclasses.replace(still, random_crop=True), train=True)
    assert any(not torch.equal(cropped.pixels(image, seed=seed), plain) for seed in range(8))


# -- networks ----------------------------------------------------------------------------------


def test_a_grey_image_has_the_features_of_the_same_image_in_colour() -> None:
    colour = zoo.load("cnn", weights="none").eval()
    grey = zoo.load("cnn", weights="none").eval()
    grey.load_state_dict(colour.state_dict())
    grey.fit_channels(1)
    pixels = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(grey.features(pixels), colour.features(pixels.expand(-1, 3, -1, -1)))
    assert grey.channels_note == ("1 channel instead of 3: the weights of conv1.0 are summed")


def test_more_channels_repeat_the_weights_and_keep_their_scale() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 2, 1))
    first = net[0]
    assert isinstance(first, nn.Conv2d)
    before = first.weight.detach().clone()
    assert "repeated and scaled by 3/7" in fit_channels(net, 7, "net")
    torch.testing.assert_close(first.weight[:, 3], before[:, 0] * 3 / 7)
    torch.testing.assert_close(first.weight[:, 6], before[:, 0] * 3 / 7)
    assert fit_channels(net, 7, "net") == ""
    assert first_convolutions(net) == ("0",)
    with pytest.raises(ContractError, match="no first convolution"):
        fit_channels(nn.Linear(3, 3), 4, "net")


def test_means_and_deviations_have_one_value_a_channel() -> None:
    assert ImageInput(channels=1).mean == pytest.approx((0.449,))
    assert ImageInput(channels=4).std == pytest.approx((0.229, 0.224, 0.225, 0.226))
    given = ImageInput(channels=4, mean=(0.1, 0.2, 0.3), std=(1, 1, 1, 1))
    assert given.flaw == "mean must have one value per channel, got 3 for 4"
    cnn = zoo.load("cnn", weights="none")
    with pytest.raises(
        ContractError, match="spec of basics/cnn is not valid: mean must have one value"
    ):
        zoo.Backbone.wrap(cnn.net, spec=dataclasses.replace(cnn.spec, input=given), head="fc")


# -- runs --------------------------------------------------------------------------------------


def _stripes(label: str, index: int) -> Any:
    rows, columns = np.mgrid[:24, :24]
    return np.roll((rows if label == "a" else columns) // 4 % 2, index % 8, axis=(0, 1))


def _many(index: int) -> Any:
    """Six bands of 16 bits of which the fifth tells the class."""
    label, random = "ab"[index % 2], np.random.default_rng(index)
    bands = random.integers(2000, 9000, (24, 24, 6)).astype(np.uint16)
    bands[..., 4] = 3000 + 3000 * _stripes(label, index)
    return bands, label


def _transparent(index: int) -> Any:
    """An image of noise whose alpha tells the class."""
    label, random = "ab"[index % 2], np.random.default_rng(index)
    noise = random.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    alpha = (60 + 120 * _stripes(label, index)).astype(np.uint8)
    return Image.fromarray(np.dstack([noise, alpha])), label


def _subtle(index: int) -> Any:
    """16 bits of grey of which the upper 8 are the same everywhere."""
    label, random = "ab"[index % 2], np.random.default_rng(index)
    grey = 0x7500 + 100 * _stripes(label, index) + random.integers(0, 30, (24, 24))
    return grey.astype(np.uint16), label


class Headers(Quiet):
    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def header(self, facts: Any) -> None:
        self.facts = dict(facts)


OPTIONS: dict[str, Any] = {"image_size": 24, "epochs": 5, "batch_size": 16, "lr": 0.004}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "channels", "said"),
    [
        (_many, None, "6, as the images have"),
        pytest.param(_transparent, 4, "4, as asked for", marks=pytest.mark.slow),
        pytest.param(_subtle, 1, "1, as asked for", marks=pytest.mark.slow),
        pytest.param(_subtle, None, None, marks=pytest.mark.slow),
    ],
)
def test_a_network_learns_what_only_one_channel_or_the_low_bits_tell(
    make: Any, channels: int | None, said: str | None, tmp_path: Path
) -> None:
    data, reporter = [make(index) for index in range(80)], Headers()
    run = zoo.finetune(
        "cnn", data, output=tmp_path / "run", channels=channels, reporter=reporter, **OPTIONS
    )
    assert run.metrics["accuracy"] >= 0.95
    assert reporter.facts.get("channels") == said
    assert ("first layer" in reporter.facts) == (said is not None)
    again = zoo.open_run(tmp_path / "run")
    assert [each.to_json()["label"] for each in again.predict([d for d, _ in data[:8]])] == [
        label for _, label in data[:8]
    ]
    assert "Grad-CAM" in (tmp_path / "run" / "report.html").read_text()
    assert zoo.embed(tmp_path / "run", data, output=tmp_path / "e.npy").samples == 80
    predictor = again.predictor(device="cpu")
    predictor.warm_up()
    if again.spec.image_input.channels > 4:
        with pytest.raises(zoo.RunError, match="6 channels"):
            zoo.export_run(again, output=tmp_path / "native", format="native")
        further = zoo.finetune(
            "cnn",
            data,
            weights=str(tmp_path / "run"),
            output=tmp_path / "more",
            **{**OPTIONS, "epochs": 1},
            report=False,
            reporter=Quiet(),
        )
        assert further.spec.image_input.channels == 6


def test_channels_that_cannot_be_are_refused(tmp_path: Path) -> None:
    data = [(np.full((8, 8, 3), 90 * (i % 2), np.uint8), i % 2) for i in range(20)]
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"channels": 6}, "channels=6 was given, but the images have at most 3"),
        ({"channels": 0}, "channels must be"),
        ({"channels": 4, "cache_images": True}, "cache_images has no effect"),
    )
    for options, words in cases:
        with pytest.raises(UsageError, match=words):
            zoo.finetune("cnn", data, output=tmp_path / "run", reporter=Quiet(), **options)
    assert not (tmp_path / "run").exists()
    asked = dict.fromkeys(("image_size", "resize", "value_range"))
    spec = zoo.Registry.discover().resolve("cnn").spec
    with pytest.raises(UsageError, match='augment="acme/blur" takes RGB images, not 4 channels'):
        IMAGE.fitted(
            spec,
            {**asked, "channels": 4, "augment": "acme/blur"},
            open_data(data, kind=IMAGE),
            pretrained=False,
        )
    mixed = [*data, (SIX, 0)]
    with pytest.raises(BadFilesError, match="the network takes 6"):
        zoo.finetune("cnn", mixed, output=tmp_path / "run", channels=6, reporter=Quiet())


def test_options_switch_augmentations_off_and_the_header_says_so(tmp_path: Path) -> None:
    data, reporter = [_many(index) for index in range(16)], Headers()
    run = zoo.finetune(
        "cnn", data, output=tmp_path / "run", flip=False, random_crop=False, augment="trivial",
        epochs=1, image_size=16, report=False, reporter=reporter,
    )  # fmt: skip
    assert reporter.facts["augmentation"] == (
        "without random crops and mirroring and changes of color (for 6 channels)"
    )
    assert not run.spec.image_input.flip
    assert not run.spec.image_input.random_crop


def test_all_images_of_many_bands_decide_the_channels() -> None:
    splits = open_data([_many(index) for index in range(10)], kind=IMAGE)
    assert set(splits.train.traits["channels"]) == {6}  # type: ignore[index]
    assert splits.train.traits["deep"].all()  # type: ignore[index]
