"""Images of every mode, and their way to the network's tensor."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.contract.spec import ImageInput
from zoo.errors import BadFilesError
from zoo.modalities.augmentations import find_augmentation
from zoo.modalities.image.reading import read_image
from zoo.modalities.image.transforms import make_transform

TRIVIAL = find_augmentation("trivial", "image")


def pixel(image: Image.Image) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return image.getpixel((image.width // 2, image.height // 2))


def stored(image: Image.Image, path: Path, **options: object) -> Image.Image:
    image.save(path, **options)
    return read_image(path)


def test_greys_of_8_bits(tmp_path):
    assert pixel(stored(Image.new("L", (4, 4), 90), tmp_path / "x.png")) == (90, 90, 90)
    assert pixel(stored(Image.new("1", (4, 4), 1), tmp_path / "x.png")) == (255, 255, 255)


def test_transparency_shows_white(tmp_path):
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert pixel(stored(clear, tmp_path / "rgba.png")) == (255, 255, 255)
    half = Image.new("LA", (4, 4), (0, 128))
    assert pixel(stored(half, tmp_path / "la.png"))[0] == pytest.approx(127, abs=1)
    opaque = Image.new("RGBA", (4, 4), (200, 10, 20, 255))
    assert pixel(stored(opaque, tmp_path / "opaque.png")) == (200, 10, 20)


def test_palettes_with_and_without_a_transparent_colour(tmp_path):
    palette = Image.new("RGB", (4, 4), (10, 20, 30)).quantize(4)
    assert pixel(stored(palette, tmp_path / "p.png")) == (10, 20, 30)
    index = palette.getpixel((0, 0))
    assert pixel(stored(palette, tmp_path / "t.png", transparency=index)) == (255, 255, 255)
    key = Image.new("RGB", (4, 4), (10, 20, 30))
    assert pixel(stored(key, tmp_path / "k.png", transparency=(10, 20, 30))) == (255, 255, 255)


def test_four_inks(tmp_path):
    image = stored(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "x.jpg")
    red, green, blue = pixel(image)
    assert red > 240
    assert green < 20
    assert blue < 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_s_orientation_is_applied(tmp_path, orientation):
    from PIL import ImageOps

    upright = Image.new("RGB", (40, 20), "blue")
    upright.paste("red", (0, 0, 10, 10))
    undo = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    exif = Image.Exif()
    exif[0x0112] = undo
    lying = upright.copy()
    lying.info["exif"] = exif.tobytes()
    lying.getexif()[0x0112] = undo
    lying = ImageOps.exif_transpose(lying)
    exif[0x0112] = orientation
    lying.save(tmp_path / "x.png", exif=exif)
    seen = read_image(tmp_path / "x.png")
    assert seen.size == (40, 20)
    assert seen.getpixel((2, 2)) == (255, 0, 0)
    assert seen.getpixel((38, 18)) == (0, 0, 255)


def test_a_jpeg_is_decoded_at_a_fraction_that_is_large_enough(tmp_path):
    Image.new("RGB", (1600, 1200), (120, 60, 30)).save(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg").size == (1600, 1200)
    assert read_image(tmp_path / "x.jpg", size=256).size == (800, 600)
    assert read_image(tmp_path / "x.jpg", size=100).size == (400, 300)
    assert read_image(tmp_path / "x.jpg", size=1000).size == (1600, 1200)
    Image.new("RGB", (1600, 1200)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", size=100).size == (1600, 1200)


def test_an_image_in_memory_is_left_as_it_was():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert pixel(read_image(image)) == (255, 255, 255)
    assert image.mode == "RGBA"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01"])
def test_what_is_not_an_image_is_named(tmp_path, content):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(BadFilesError, match=r"odd\.jpg") as caught:
        read_image(path)
    assert caught.value.paths == (str(path),)
    with pytest.raises(BadFilesError, match="row 7 cannot be read"):
        read_image(content, name="row 7")


def test_a_truncated_image_is_an_error(tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    with pytest.raises(BadFilesError, match="truncated"):
        read_image(buffer.getvalue()[:-200])


def test_a_missing_image_is_an_error(tmp_path):
    with pytest.raises(BadFilesError, match="no such file"):
        read_image(tmp_path / "gone.jpg")


# -- transforms --------------------------------------------------------------------------------


@pytest.mark.long
def test_a_transform_that_a_spawned_worker_unpickles_brings_torchvision_along(tmp_path):
    pickled = pickle.dumps(make_transform(ImageInput(size=16), True, augment=TRIVIAL))
    code = "import pickle, sys; print(type(pickle.loads(sys.stdin.buffer.read())).__name__)"
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True)
    assert done.stdout.decode().strip() == "ImageTransform", done.stderr.decode()[-400:]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("size", "crop", "resized"),
    [(224, 0.875, 256), (224, 224 / 232, 232), (224, 0.95, 235), (299, 299 / 342, 342)],
)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_evaluation_is_torchvision_s_resize_crop_and_normalise(size, crop, resized, interpolation):
    from torchvision.transforms import InterpolationMode, v2

    spec = ImageInput(size=size, crop=crop, interpolation=interpolation)
    reference = v2.Compose(
        [
            v2.Resize(resized, interpolation=InterpolationMode(interpolation)),
            v2.CenterCrop(size),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
        ]
    )
    image = noise(400, 300)
    torch.testing.assert_close(
        make_transform(spec, train=False)(image), reference(image), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (300, 20), (20, 300), (64, 64)])
def test_every_image_gets_the_network_s_size(train, mode, shape):
    transform = make_transform(ImageInput(size=48, crop_mode=mode), train)
    tensor = transform(noise(*shape))
    assert tensor.shape == (3, 48, 48)
    assert tensor.dtype == torch.float32
    assert type(tensor) is torch.Tensor


def test_border_shows_the_whole_image_on_the_mean_colour():
    spec = ImageInput(size=40, crop=1.0, crop_mode="border", mean=(0.5,) * 3, std=(1.0,) * 3)
    tensor = make_transform(spec, train=False)(Image.new("RGB", (80, 40), "white"))
    assert tensor[:, 20, :].min() > 0.49, "white from the left edge to the right one"
    assert tensor[:, :10].abs().max() < 0.01, "the mean colour above"


def test_squash_shows_the_whole_image_at_any_proportion():
    image = Image.new("RGB", (200, 50), "white")
    image.paste("black", (0, 0, 20, 50))
    spec = ImageInput(size=40, crop=1.0, crop_mode="squash")
    tensor = make_transform(spec, train=False)(image)
    assert tensor[0, 20, 0] < tensor[0, 20, -1]


def test_the_variation_is_decided_by_the_seed_and_leaves_the_global_state():
    transform = make_transform(ImageInput(size=32), train=True)
    image = noise(60, 40)
    before = torch.get_rng_state()
    first, again, other = (transform(image, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_are_mirrored_only_where_that_is_asked_for():
    image = Image.new("RGB", (64, 64), "black")
    image.paste("white", (0, 0, 32, 64))
    for flip in (True, False):
        transform = make_transform(ImageInput(size=16), train=True, flip=flip, min_scale=1.0)
        lefts = {bool(transform(image, seed=s)[0, 8, 0] > 0) for s in range(20)}
        assert lefts == ({True, False} if flip else {True})


@pytest.mark.parametrize("train", [False, True])
def test_a_transform_survives_pickling(train):
    transform = make_transform(ImageInput(size=32, crop_mode="border"), train)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(noise(50, 40), seed=3), transform(noise(50, 40), seed=3))
