"""Every broken image is reported by its path, every whole one trains, and none gets lost."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import Zoo
from tests.faults import images
from tests.faults.conftest import class_folders
from tests.opened import open_data
from zoo.contract.spec import ImageInput
from zoo.data.samples import Splits
from zoo.errors import BadFilesError
from zoo.modalities import IMAGE
from zoo.modalities.image.reading import MAX_FILE_BYTES, MAX_PIXELS, read_image
from zoo.modalities.image.traits import range_of
from zoo.modalities.image.transforms import make_transform


def written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    return paths


def used(splits: Splits) -> set[str]:
    assert splits.val is not None
    return {samples.input(i) for samples in (splits.train, splits.val) for i in range(len(samples))}


def reported(splits: Splits) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in splits.skipped)


def test_the_corpus_is_as_large_as_promised() -> None:
    broken = {**images.cut(), **images.damaged(), **images.never()}
    assert len(broken) >= 120
    assert len(images.odd()) >= 40


def test_no_image_gets_lost(tmp_path: Path) -> None:
    """Cut, damaged, odd, never an image: used and then decodable, or reported with a reason."""
    root = class_folders(tmp_path / "photos")
    corpus = {**images.cut(), **images.damaged(), **images.never(), **images.odd()}
    paths = {str(path) for path in written(root / "red", corpus).values()}
    splits = open_data(root, kind=IMAGE, bad_files="skip")
    kept, lost = used(splits), reported(splits)
    assert kept.isdisjoint(lost)
    assert paths <= kept | lost.keys()
    assert all(reason and "\n" not in reason for reason in lost.values())
    whole, never = images.odd().keys(), images.never().keys()
    assert {str(root / "red" / name) for name in whole} <= kept
    assert {str(root / "red" / name) for name in never} <= lost.keys()
    emptied = [
        path for path in paths if Path(path).name.startswith(("cut-0.", "cut-1.", "cut-12."))
    ]
    assert set(emptied) - {p for p in emptied if p.endswith((".tga", ".gif"))} <= lost.keys()
    spec = ImageInput(size=32, value_range=range_of(splits.train.traits))
    transforms = [make_transform(spec, train=train) for train in (True, False)]
    for path in kept & paths:
        for transform in transforms:
            tensor = transform(transform.read(path, path), seed=0)
            assert tensor.shape == (3, 32, 32)
            assert torch.isfinite(tensor).all()


def test_every_broken_image_is_named_where_they_stop_the_run(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos")
    paths = written(root / "red", images.never())
    with pytest.raises(BadFilesError) as caught:
        open_data(root, kind=IMAGE)
    assert set(caught.value.paths) == {str(path) for path in paths.values()}


def test_postscript_that_is_called_an_image_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would: a program called gs stands in for Ghostscript, and notes that it was started."""
    from PIL import EpsImagePlugin, Image

    started = tmp_path / "started"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{started}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    root = class_folders(tmp_path / "photos")
    path = root / "red" / "script.jpg"
    path.write_bytes(images.never()["script.jpg"])
    with pytest.raises(BadFilesError, match="not a readable image format"):
        read_image(path)
    assert reported(open_data(root, kind=IMAGE, bad_files="skip")).keys() == {str(path)}
    assert not started.exists()
    with contextlib.suppress(OSError), Image.open(path) as image:
        image.load()
    assert started.exists()


def test_a_run_says_in_three_places_how_many_it_left_out(tmp_path: Path, zoo_cli: Zoo) -> None:
    root = class_folders(tmp_path / "photos")
    some = {name: content for name, content in images.cut().items() if "jpg" in name}
    written(root / "red", {**some, **images.never()})
    written(root / "green", {**images.odd(), "labels.txt": b"x", "lost-its-suffix": b"\xff\xd8"})
    refused = zoo_cli(
        "finetune", "--no-report", "cnn", "--data", root, "--output", tmp_path / "run"
    )
    assert refused.code == 1
    assert not (tmp_path / "run").exists()
    done = zoo_cli(
        *("finetune", "--no-report", "cnn", "--data", root, "--bad-files", "skip", "--epochs", 1),
        *("--image-size", 32, "--workers", 0, "--output", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    count = len(data["skipped"])
    assert count >= len(images.never())
    assert data["train"] + data["val"] + count == len(list(root.rglob("*.*"))) - 1
    assert f"{count} unreadable skipped" in done.err
    assert f"{count} unreadable inputs skipped; run.json" in done.out
    assert data["ignored"] == 2
    assert "2 files without an image extension (green/labels.txt, …)" in done.err
    assert "2 files without an image extension ignored" in done.out


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("train", [True, False])
def test_an_image_of_one_row_takes_no_gigabytes(size: int, train: bool) -> None:
    for shape in ((20_000, 1), (1, 20_000), (9_001, 2)):
        tensor = make_transform(ImageInput(size=size), train=train)(
            images.noise(size=shape), seed=1
        )
        assert tensor.shape == (3, size, size)


def test_the_middle_is_what_the_whole_image_gives() -> None:
    """Cutting a long image before it is resized changes nothing that is seen of it."""
    spec = ImageInput(size=32, crop=1.0)
    image = images.noise(size=(1600, 20))
    given = make_transform(spec, train=False)(image)  # declares what torchvision's import needs
    from torchvision.transforms import v2

    plain = v2.Compose([v2.Resize([32]), v2.CenterCrop(32), v2.PILToTensor()])(image)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    assert ((given * std + mean) * 255 - plain).abs().max() < 3


def test_the_limit_on_pixels_is_stated(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(images.bombs()["just-too-large.png"])
    with pytest.raises(BadFilesError, match=r"13,378 x 13,378 pixels|more than 178,956,970 pixels"):
        read_image(tmp_path / "large.png")
    assert MAX_PIXELS == 178_956_970


def test_pipes_devices_and_endless_files_are_reported_and_not_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos")
    os.mkfifo(root / "red" / "pipe.jpg")
    (root / "red" / "device.jpg").symlink_to("/dev/zero")
    (root / "red" / "nowhere.jpg").symlink_to("nowhere-else.jpg")
    (root / "red" / "itself.jpg").symlink_to("itself.jpg")
    with (root / "red" / "sparse.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    splits = open_data(root, kind=IMAGE, bad_files="skip")
    reasons = {Path(path).stem: reason for path, reason in reported(splits).items()}
    assert reasons.keys() == {"pipe", "device", "nowhere", "itself", "sparse"}
    assert reasons["pipe"] == reasons["device"] == "it is not a regular file"
    assert "bytes" in reasons["sparse"]
    for name in ("pipe.jpg", "device.jpg"):
        with pytest.raises(BadFilesError, match="it is not a regular file"):
            read_image(root / "red" / name)


def test_folders_that_lead_back_to_themselves_count_once(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos")
    (root / "red" / "again").symlink_to(root / "red")
    (root / "red" / "up").symlink_to(root)
    elsewhere = class_folders(tmp_path / "more")
    (root / "green" / "more").symlink_to(elsewhere / "green")
    splits = open_data(root, kind=IMAGE)
    assert len(used(splits)) == 4 + 4 + 4


def test_one_name_in_two_forms_is_one_class(tmp_path: Path) -> None:
    names = ("caf\u00e9", "cafe\u0301", "th\u00e9", " th\u00e9 ")
    splits = open_data(class_folders(tmp_path / "photos", names=names), kind=IMAGE)
    assert splits.classes == ("caf\u00e9", "th\u00e9")
    assert len(used(splits)) == 16


def test_tables_of_paths_that_cannot_be_are_reported_by_row(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    rows = [f"photos/{name}/{i}.png,{name}" for name in ("red", "green") for i in range(4)]
    odd = ["x" * 1_000_000 + ".png", "../../../../etc/passwd.png", "zero.png", "folder.png"]
    odd += ["a\0b.png", "https://example.invalid/a.png", "~nobody-here/a.png", "\x1b[31m.png"]
    lines = ["path,label", *rows, *(f"{path},red" for path in odd)]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    splits = open_data(tmp_path / "table.csv", kind=IMAGE, bad_files="skip")
    assert len(used(splits)) == len(rows)
    assert len(splits.skipped) == len(odd)
    assert f"{tmp_path / 'table.csv'} row 9" in reported(splits)
