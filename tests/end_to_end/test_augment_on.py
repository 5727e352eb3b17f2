"""``--augment-on``: where batches are augmented, what is printed, and that runs can be repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.test_resume import StopsAt
from zoo.contract.spec import ImageInput
from zoo.engine import placement
from zoo.engine.placement import AUTO, DEVICE, WORKERS, Placement, Wanted, choose_placement
from zoo.engine.progress import Quiet
from zoo.errors import Stopped, UsageError
from zoo.modalities.image.placed import ImagePlacing
from zoo.system.memory import available_bytes
from zoo.training import dataloaders


class Tells(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def train(photos: Path, output: Path, **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"epochs": 2, "image_size": 32, "workers": 0, "weights": "none"}
    usual |= {"report": False, "reporter": Quiet(), "augment_on": "device", "augment": "trivial"}
    return zoo.finetune("cnn", photos, output=output, **usual | options)


@pytest.mark.slow
def test_batches_on_the_device_are_recorded_repeated_and_resumed(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    told = Tells()
    run = train(photos, tmp_path / "run", reporter=told)
    (note,) = (note for note in told.notes if note.startswith("data: "))
    assert re.fullmatch(r"data: 72 images decoded in memory, \d+ kB", note)
    recorded = run.record["placement"]
    assert (recorded["augment_on"], recorded["memory"]) == ("device", "host")
    # 57 training images of 40 x 48 pixels, a row, and 15 of the network's size
    assert recorded["bytes"] == 3 * (57 * 40 * 48 + 16 + 15 * 32 * 32)
    assert run.metrics["accuracy"] > 0.5
    again = zoo_cli("rerun", run.folder, "--output", tmp_path / "again")
    assert "identical" in again.out
    with pytest.raises(Stopped):
        train(photos, tmp_path / "stopped", reporter=StopsAt(3))
    resumed = zoo.resume(tmp_path / "stopped", reporter=Quiet(), report=False)
    assert resumed.record["sha256"] == run.record["sha256"]
    assert resumed.record["placement"] == recorded
    (evaluation,) = run.evaluate(photos, split="val").values()  # prepared by workers
    assert evaluation.metrics == {**evaluation.metrics, **run.metrics}


def test_workers_are_the_default_on_a_processor(photos: Path, tmp_path: Path) -> None:
    told = Tells()
    run = train(photos, tmp_path / "run", augment_on="auto", epochs=1, reporter=told)
    assert run.record["placement"]["augment_on"] == "workers"
    assert not [note for note in told.notes if note.startswith("data: ")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strategy": "probe", "augment": None}, "nothing is augmented: the backbone is frozen"),
        ({"channels": 1}, "RGB images only"),
    ],
)
def test_what_cannot_be_augmented_on_the_device_is_refused(
    photos: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=f"augment_on=.device. is not possible.*{reason}"):
        train(photos, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_deep_images_are_augmented_in_workers(tmp_path: Path) -> None:
    for name, value in (("dark", 900), ("light", 3000)):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(6):
            deep = Image.new("I;16", (32, 32), value + number)
            deep.save(tmp_path / "deep" / name / f"{number}.png")
    with pytest.raises(UsageError, match="images of more than 8 bits"):
        train(tmp_path / "deep", tmp_path / "run", augment=None)


class OneGB(ImagePlacing):
    """Samples of 1 GB in memory, for which nothing but an augmentation is an obstacle."""

    def obstacle(self, _: Any, augment: Any) -> str:
        return "it takes single images" if augment else ""

    def estimated_bytes(self, *_: Any) -> int:
        return 10**9


GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "epochs", "free", "expected"),
    [
        (AUTO, "cuda", 5, (3, 0), (DEVICE, "device")),
        (AUTO, "cuda", 5, (2, 3), (DEVICE, "host")),
        (AUTO, "cuda", 5, (2, 2), (WORKERS, "")),
        (AUTO, "cuda", 1, (3, 3), (WORKERS, "")),  # would decode as often
        (DEVICE, "cuda", 1, (3, 3), (DEVICE, "device")),
        (WORKERS, "cuda", 5, (3, 3), (WORKERS, "")),
        (AUTO, "cpu", 5, (3, 3), (WORKERS, "")),
        (DEVICE, "cpu", 5, (0, 3), (DEVICE, "host")),
    ],
)
def test_images_are_kept_where_there_is_room(
    asked: str, device: str, epochs: int, free: tuple[int, int], expected: tuple[str, str]
) -> None:
    found = chosen(free, asked=asked, device=torch.device(device), epochs=epochs)
    assert (found.augment_on, found.memory) == expected
    assert bool(found.reason) == (free == (2, 2))


def chosen(
    free: tuple[int, int], speeds: Mapping[str, float] | None = None, **wanted: Any
) -> Placement:
    """The placement where that many GB of the device and of the host are free."""
    usual: dict[str, Any] = {"views": 0, "augment": None}
    room = {"cuda": free[0] * 10**9, "cpu": free[1] * 10**9}
    none: Any = ()  # samples
    return choose_placement(
        Wanted(**usual | wanted),
        OneGB(ImageInput()),
        none,
        none,
        speeds=lambda: speeds or {},
        free=lambda device: room[device.type],
    )


def test_the_reason_is_told_where_an_accelerator_has_to_wait_for_workers() -> None:
    usual: dict[str, Any] = {"asked": AUTO, "device": GPU, "epochs": 2}
    full = chosen((1, 1), **usual)
    assert full.in_words("images", GPU) == (
        "data: images are augmented in workers, since they would take 1.0 GB, and 1.0 GB of memory "
        "are free"
    )
    single = chosen((9, 9), **usual, augment=object())
    assert "since it takes single images" in single.in_words("images", GPU)
    assert chosen((9, 9), **usual, views=2).in_words("images", GPU) == ""
    shared = chosen((1, 9), **usual, processes=4)
    assert shared.augment_on == WORKERS
    assert Placement(DEVICE, "host", 3, 10).in_words("images", GPU) == (
        "data: 3 images decoded in pinned memory, 10 B"
    )
    assert Placement(DEVICE, "device", 1192, 180 * 10**6).in_words("images", GPU) == (
        "data: 1,192 images decoded on the device, 180 MB"
    )


@pytest.mark.parametrize(
    ("asked", "speeds", "expected"),
    [
        (AUTO, {"device": 900.0, "workers": 300.0}, (DEVICE, True)),
        (AUTO, {"device": 300.0, "workers": 900.0}, (WORKERS, False)),
        (DEVICE, {"device": 300.0, "workers": 900.0}, (DEVICE, True)),
    ],
)
def test_images_that_do_not_fit_are_decoded_where_that_is_faster(
    asked: str, speeds: dict[str, float], expected: tuple[str, bool]
) -> None:
    found = chosen((1, 1), speeds, asked=asked, device=GPU, epochs=2)
    assert (found.augment_on, found.streamed, found.memory) == (*expected, "")
    where = "on the device in every epoch" if found.streamed else "in workers"
    assert found.in_words("images", GPU).startswith(f"data: images decoded {where}, measured (")
    again = chosen((9, 9), speeds, asked=DEVICE, device=GPU, epochs=2, streamed=True)
    assert again.in_words("images", GPU) == "data: images decoded on the device in every epoch"


def test_images_stay_in_the_hosts_memory_if_the_devices_runs_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, tried = ImagePlacing.placed, []

    def placed(self: ImagePlacing, *given: Any, on_host: bool, **options: Any) -> Any:
        tried.append(on_host)
        if not on_host:
            raise torch.OutOfMemoryError("out of memory")
        return put(self, *given, on_host=on_host, **options)

    monkeypatch.setattr(ImagePlacing, "placed", placed)
    monkeypatch.setattr(
        dataloaders, "choose_placement", lambda *_, **__: Placement(DEVICE, DEVICE, 72, 10)
    )
    run = train(photos, tmp_path / "run", epochs=1)
    assert tried == [False, True]
    assert run.record["placement"]["memory"] == "host"


def test_the_free_memory_is_what_training_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda _: (70, 100))
    monkeypatch.setattr(torch.accelerator, "memory_reserved", lambda _: 20)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda _: 50)
    assert placement.free_bytes(GPU) == 40

    def absent(_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torch.accelerator, "get_memory_info", absent)
    assert placement.free_bytes(GPU) == 0


@pytest.mark.parametrize(
    ("line", "files", "names"),
    [
        ("0::/job", "job", ("memory.max", "memory.current", "inactive_file")),
        (
            "3:memory:/job",
            "memory/job",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, line: str, files: str, names: tuple[str, str, str]
) -> None:
    group = tmp_path / "sys/fs/cgroup" / files
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(line + "\n")
    (group / names[0]).write_text("5000\n")
    (group / names[1]).write_text("3000\n")
    (group / "memory.stat").write_text(f"anon 1\n{names[2]} 1000\n")
    assert available_bytes(tmp_path) == 3000
    (group / names[0]).write_text("max\n")
    assert available_bytes(tmp_path) == pytest.approx(available_bytes(), rel=0.2)
