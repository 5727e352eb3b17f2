"""What training and validation share is counted, and left out of training where that is asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance, ImageOps
from scipy.fft import dctn

from tests.end_to_end.conftest import Zoo, zoo_cli
from tests.opened import open_data
from zoo.errors import DataError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.perceptual_hash import NEAR, hashes_of, low_frequencies, near_matches
from zoo.modalities.text.contents import text_contents
from zoo.training.summary import leakage_in_words

__all__ = ["zoo_cli"]


def write(folder: Path, train: list[str], val: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("train", train), ("val", val)):
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return folder


ROWS = ["a fine film\t1", "a poor film\t0", "so so\t0", "great\t1"]


def test_texts_are_the_same_whatever_their_case_and_blanks(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS, ["quite other\t0", "A  Fine film \t1"])
    splits = open_data(data, kind=TEXT)
    assert [pair.held_out.rpartition(" ")[2] for pair in splits.shared] == ["2"]
    assert splits.near == ()
    assert (len(splits.train), splits.removed) == (4, 0)
    fewer = open_data(data, kind=TEXT, dedupe=True)
    assert [str(fewer.train.raw(i)) for i in range(len(fewer.train))] == [
        *("a poor film", "so so", "great")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),  # é of one character, and of two
        ("\uff21\uff22", "ab"),  # full-width letters
        ("\ufb01lm", "film"),  # a ligature
        ("STRASSE", "straße"),
        ("a\u00a0b", "a\u3000 b"),  # blanks that are none of ASCII's
    ],
)
def test_texts_are_the_same_in_every_unicode_form(one: str, other: str) -> None:
    assert text_contents([(one,)]) == text_contents([(other,)])


def test_texts_that_differ_are_not_the_same() -> None:
    rows = [("a", "b"), ("b", "a"), ("ab", ""), ("résumé", "b"), ("resume", "b")]
    assert len(set(text_contents(rows).tolist())) == len(rows)


def test_images_are_the_same_where_their_files_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(5):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            Image.fromarray(pixels).save(folder / f"{number} (copy).png")
    splits = open_data(tmp_path, kind=IMAGE, val_split=0.2)
    alone = open_data(tmp_path, kind=IMAGE, val_split=0.2, dedupe=True)
    assert splits.shared
    assert splits.shared == alone.shared  # the same are held out
    assert alone.removed == len(splits.train) - len(alone.train) > 0
    assert alone.fingerprint != splits.fingerprint
    trained = {alone.train.input(i).replace(" (copy)", "") for i in range(len(alone.train))}
    assert alone.val is not None
    assert not trained & {alone.val.input(i).replace(" (copy)", "") for i in range(len(alone.val))}


def test_nothing_in_common_is_nothing_to_remove(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS, ["new\t1", "newer\t0"])
    plain, deduped = (open_data(data, kind=TEXT, dedupe=d) for d in (False, True))
    assert (plain.shared, deduped.removed) == ((), 0)
    assert plain.fingerprint == deduped.fingerprint


@pytest.mark.parametrize(
    ("val", "lost"),
    [(ROWS, "no training sample is left"), (["great\t1", "A fine film\t1", "other\t0"], "'1'")],
)
def test_a_class_that_loses_all_is_reported(tmp_path: Path, val: list[str], lost: str) -> None:
    with pytest.raises(DataError, match=f"{lost}"):
        open_data(write(tmp_path, ROWS, val), kind=TEXT, dedupe=True)


def test_a_test_split_counts_too_and_its_faults_do_not_stop_training(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS, ["new\t1", "newer\t0"])
    (data / "test.tsv").write_text("text\tlabel\nSo so\t0\n\t1\n", encoding="utf-8")
    splits = open_data(data, kind=TEXT, dedupe=True)
    assert [Path(pair.held_out.rpartition(" row ")[0]).name for pair in splits.shared] == [
        "test.tsv"
    ]
    assert (splits.removed, splits.skipped) == (1, ())
    (data / "test.tsv").write_bytes(b"")
    assert open_data(data, kind=TEXT).shared == ()


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """An image of large and small shades, as photographs have them."""
    generator = np.random.default_rng(seed)
    layers = [
        Image.fromarray(generator.integers(0, 255, (n, n, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        for n in (4, 9, 25)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.25)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without ``share`` of the height and of the width, half of it on each side."""
    width, height = image.size
    x, y = width * share / 2, height * share / 2
    return image.crop((round(x), round(y), round(width - x), round(height - y)))


COPIES = {
    "as it is.png": lambda image: image,
    "as it is.bmp": lambda image: image,
    "smaller.jpg": lambda image: image.resize((120, 90)),
    "squashed.webp": lambda image: image.resize((128, 128)),
    "cropped.jpg": lambda image: cropped(image, 0.02),
    "brighter.jpg": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "mirrored.jpg": ImageOps.mirror,
    "grey.png": lambda image: image.convert("L"),
    "turned.jpg": lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


def with_copies(root: Path) -> Path:
    """Scenes of two classes to train on; in ``val``, copies of some and scenes of its own."""
    for number in range(20):
        folder = root / "train" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        scene(number).save(folder / f"{number}.jpg", quality=95)
    for number, (name, change) in enumerate(COPIES.items()):
        folder = root / "val" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        changed, exif = change(scene(number)), Image.Exif()
        if name.startswith("turned"):
            exif[ExifTags.Base.Orientation] = 6  # so that it shows upright
        changed.save(folder / name, exif=exif)
        scene(100 + number).save(folder / f"own {number}.jpg")
    return root


def test_copies_in_another_size_format_light_or_mirror_image_are_found(tmp_path: Path) -> None:
    root = with_copies(tmp_path)
    splits = open_data(root, kind=IMAGE)
    assert splits.shared == ()  # the files differ
    assert splits.near is not None
    assert {Path(pair.held_out).name for pair in splits.near} == set(COPIES)
    fewer = open_data(root, kind=IMAGE, dedupe=True)
    assert (fewer.removed, len(fewer.train)) == (len(COPIES), 20 - len(COPIES))
    kept = {int(Path(fewer.train.input(i)).stem) for i in range(len(fewer.train))}
    assert kept == set(range(len(COPIES), 20))


def test_blank_images_are_like_nothing() -> None:
    looks = hashes_of(np.full((3, 32, 32), 200, dtype=np.uint8))
    assert not looks.any()
    found = near_matches(looks, looks)
    assert found is not None
    assert [flags.any() for flags in (found.in_train, found.in_held)] == [False, False]


def test_near_duplicates_are_found_by_the_number_of_signs_that_differ() -> None:
    generator = np.random.default_rng(0)
    held = generator.integers(0, 2**63, (3, 4), dtype=np.uint64)
    train = np.repeat(generator.integers(0, 2**63, (1, 4), dtype=np.uint64), 40_000, axis=0)
    for row, differing in ((7, NEAR), (39_999, NEAR + 1)):
        bits = np.unpackbits(held[1].view(np.uint8))
        bits[-differing:] ^= 1  # of the last words, which the coarse look leaves out
        train[row] = np.packbits(bits).view(np.uint64)
    found = near_matches(train, held)
    assert found is not None
    assert np.flatnonzero(found.in_train).tolist() == [7]
    assert found.of_held.tolist() == [-1, 7, -1]


def test_too_many_images_are_not_compared_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.modalities.perceptual_hash.MAX_PAIRS", 10)
    splits = open_data(with_copies(tmp_path), kind=IMAGE)
    assert splits.near is None
    assert "too many images" in leakage_in_words(splits)


def test_the_run_says_so(tmp_path: Path, zoo_cli: Zoo) -> None:
    data = write(tmp_path / "data", ROWS, ["great\t1", "other\t0"])
    command = ("finetune", "lstm", "--data", data, "--epochs", 1, "--output")
    plain = zoo_cli(*command, tmp_path / "plain")
    (words,) = (line for line in plain.out.splitlines() if "--dedupe" in line)  # the end
    assert words.startswith("1 validation or test sample ")
    example = f"({data / 'val.tsv'} row 1 = {data / 'train.tsv'} row 4)"
    assert example in words
    assert words in plain.err  # the header
    deduped = zoo_cli(*command, tmp_path / "deduped", "--dedupe", "--json")
    assert f"{example}; 1 removed from training" in deduped.err
    pair = {
        "held_out": f"{data / 'val.tsv'} row 1",
        "train": f"{data / 'train.tsv'} row 4",
        "same_label": True,
    }
    facts = {"shared": [pair], "near": [], "removed": 1}
    record = json.loads((tmp_path / "deduped" / "run.json").read_text(encoding="utf-8"))["data"]
    for found in (deduped.json, record):
        assert {name: found[name] for name in facts} == facts


def test_low_frequencies_are_those_of_the_cosine_transform() -> None:
    thumbnails = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    expected = dctn(thumbnails.astype(np.float64), axes=(1, 2))[:, :16, :16]
    assert np.allclose(low_frequencies(thumbnails), expected)
