"""Ten datasets with a planted leak each: all are told, with the pair; clean data is not accused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.end_to_end.conftest import Zoo, zoo_cli
from tests.unit.test_data_overlap import cropped, scene

__all__ = ["zoo_cli"]


def images(root: Path, change: Callable[[Image.Image], Image.Image], name: str) -> list[str]:
    """Scenes of two classes; in ``val``, one of them changed, under another name."""
    for number in range(8):
        folder = root / ("train", "val")[number // 6] / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        scene(number).save(folder / f"{number}.jpg", quality=95)
    source = root / "train" / "cat" / "2.jpg"
    target = root / "val" / "cat" / name
    if name == "same.jpg":
        target.write_bytes(source.read_bytes())
    else:
        change(Image.open(source)).save(target, quality=30)
    return [str(target), str(source)]


def texts(root: Path, trained: str, held_out: str, label: str = "good") -> list[str]:
    """Reviews; ``held_out`` in ``val`` is ``trained`` in ``train``."""
    root.mkdir(exist_ok=True)
    train = ["a fine film\tgood", "a poor film\tbad", f"{trained}\tgood", "so very dull\tbad"]
    val = ["quite another thing\tbad", f"{held_out}\t{label}", "not a fine film\tbad"]
    for split, rows in (("train", train), ("val", val)):
        (root / f"{split}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", "utf-8")
    return [f"{root / 'val.tsv'} row 2", f"{root / 'train.tsv'} row 3"]


def recordings(root: Path) -> list[str]:
    """Noises and tones; in ``val``, one of them at half the rate and a third of the volume."""
    soundfile = pytest.importorskip("soundfile")
    signal = pytest.importorskip("scipy.signal")
    draw, times = np.random.default_rng(0), np.arange(8_000) / 16_000
    sounds = []
    for number in range(8):
        tone = (
            np.sin(2 * np.pi * draw.uniform(200, 2000) * times)
            * draw.uniform(0.3, 1, 8)[np.arange(8_000) // 1_000]
        )
        sounds.append(0.5 * (draw.standard_normal(8_000) / 4 if number % 2 else tone))
        folder = root / ("train", "val")[number // 6] / ("tone", "noise")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        hiss = 0.01 * draw.standard_normal(8_000)
        sounds[-1] = sounds[-1] + hiss
        soundfile.write(folder / f"{number}.wav", sounds[-1], 16_000)
    target = root / "val" / "tone" / "copy.wav"
    soundfile.write(target, signal.resample_poly(sounds[2], 1, 2) / 3, 8_000)
    return [str(target), str(root / "train" / "tone" / "2.wav")]


MADE: dict[str, Callable[[Path], list[str]]] = {
    "copied": lambda root: images(root, lambda image: image, "same.jpg"),
    "resized": lambda root: images(root, lambda image: image.resize((100, 75)), "small.png"),
    "recompressed": lambda root: images(root, lambda image: image, "worse.jpg"),
    "cropped and brighter": lambda root: images(
        root, lambda image: ImageEnhance.Brightness(cropped(image, 0.03)).enhance(1.15), "crop.png"
    ),
    "mirrored": lambda root: images(root, ImageOps.mirror, "mirrored.png"),
    "punctuation": lambda root: texts(
        root, "It's a long, slow film -- but fine!", "its a  LONG slow film but “fine”."
    ),
    "lookalikes": lambda root: texts(
        root, "Tom & Jerry: a classic", "Tom &amp; Jеrrу: a <b>clаssic</b>"
    ),
    "another label": lambda root: texts(root, "it is what it is", "it is what it is", "bad"),
    "recordings": recordings,
}


def finetuned(zoo_cli: Zoo, data: Path, *more: str) -> tuple[str, dict[str, object]]:
    """What ``zoo finetune`` prints at the end, and the data's record."""
    model = {"tsv": "lstm", "wav": "audio-cnn"}.get(
        next(file.suffix[1:] for file in sorted(data.rglob("*.*"))), "cnn"
    )
    size = ("--image-size", "16") if model == "cnn" else ()
    run = data.parent / "run"
    command = ("finetune", model, "--data", data, "--epochs", "1", "--no-report", *size, *more)
    out = zoo_cli(*command, "--output", run).out
    return out, json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]


SLOW = ("copied", "resized", "recompressed", "lookalikes")


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(m, id=name, marks=[pytest.mark.slow] * (name in SLOW))
        for name, m in MADE.items()
    ],
)
def test_a_planted_leak_is_told_with_the_pair(
    made: Callable[[Path], list[str]], tmp_path: Path, zoo_cli: Zoo
) -> None:
    held_out, train = made(tmp_path / "data")
    out, data = finetuned(zoo_cli, tmp_path / "data")
    differ = "bad" if "what it is" in Path(held_out.split(" row ")[0]).read_text("latin1") else ""
    pair = {"held_out": held_out, "train": train, "same_label": not differ}
    assert [*data["shared"], *data["near"]] == [pair]  # type: ignore[misc]
    assert f"{held_out} = {train}" in out
    assert ("1 with another label there" in out) == bool(differ)


def test_a_patient_in_both_splits_is_told(tmp_path: Path, zoo_cli: Zoo) -> None:
    data = tmp_path / "data"
    for number in range(8):
        split, label = ("train", "val")[number // 6], ("ill", "well")[number % 2]
        (data / split / label).mkdir(parents=True, exist_ok=True)
        patient = 3 if number == 7 else number
        scene(number).save(data / split / label / f"patient_{patient}-{number}.jpg")
    out, record = finetuned(zoo_cli, data, "--group-pattern", r"patient_(\d+)")
    assert (record["shared_groups"], record["shared"], record["near"]) == (["3"], [], [])
    assert "1 group is in training and in validation or test (3)" in out


CLEAN: dict[str, Callable[[Path], object]] = {
    "images": lambda root: images(root, lambda image: scene(99), "other.png"),
    "texts": lambda root: texts(root, "it is a 3.5 for :-)", "it is a 35 for :-("),
}


@pytest.mark.parametrize("made", CLEAN.values(), ids=CLEAN)
def test_clean_data_is_not_accused(
    made: Callable[[Path], object], tmp_path: Path, zoo_cli: Zoo
) -> None:
    made(tmp_path / "data")
    out, data = finetuned(zoo_cli, tmp_path / "data")
    assert (data["shared"], data["near"], data["overlap"]) == ([], [], "")
    assert "training" not in out
