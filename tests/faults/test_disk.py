"""A disk that is full or data that vanish: a clear error, and what was saved is intact."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.end_to_end.conftest import Zoo, photos
from zoo.engine import features
from zoo.engine.progress import Advance, Quiet
from zoo.errors import BadFilesError, RunError, ZooError
from zoo.system.tensors.files import write_tensors

__all__ = ["photos"]  # a fixture


class At(Quiet):
    """Does something after a number of steps of training."""

    def __init__(self, step: int, what: Callable[[], object]) -> None:
        self._left, self._what, self.notes = step, what, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        def advance() -> None:
            if what.startswith("full"):
                self._left -= 1
                if self._left == 0:
                    self._what()

        yield advance


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory at ``folder``; gives whether this user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        done = False
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with mounted(tmp_path / "disk", "size=1m") as done:
        if not done:
            pytest.skip("this user may not mount a file system")
        yield tmp_path / "disk"


def trained(output: Path, data: Path | None = None, **options: object) -> zoo.Run:
    return zoo.finetune(
        "cnn", data, classes=None if data else 2, image_size=32, workers=0, cache_images=False,
        save_every=0, output=output,
        **{"epochs": 2, "batch_size": 16, "reporter": Quiet(), "report": False, **options},
    )  # fmt: skip


@pytest.mark.slow
def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    photos: Path, tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole", photos)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    try:
        with pytest.raises(RunError, match="File too large") as error:
            trained(tmp_path / "run", photos, reporter=At(5, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resume = f"zoo finetune --resume {tmp_path / 'run'}"
    assert error.value.hint.endswith(f": {resume}")
    assert not list((tmp_path / "run").rglob(".*.safetensors"))  # no half file
    resumed = zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert resumed.record["sha256"] == whole.record["sha256"]


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path: Path) -> None:
    with no_file_above(100_000), pytest.raises(RunError, match="File too large") as error:
        trained(tmp_path / "runs" / "run")
    assert "nothing has been saved yet" in error.value.hint
    assert not (tmp_path / "runs").exists()


def test_features_that_do_not_fit_stay_in_memory(
    small_disk: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"strategy": "probe", "epochs": None, "batch_size": None}
    plain = trained(tmp_path / "plain", photos, **options)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").symlink_to(small_disk)
    (small_disk / "filler").write_bytes(bytes(1_044_000))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    reporter = At(0, lambda: None)
    run = trained(tmp_path / "run", photos, reporter=reporter, **options)
    assert any("No space left on device" in note for note in reporter.notes)
    assert run.metrics == plain.metrics
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_an_array_larger_than_the_disk_is_refused_before_it_is_written_to(small_disk: Path) -> None:
    def fill(_: object) -> None:
        raise AssertionError("there is no room")

    told = At(0, lambda: None)
    with pytest.raises(AssertionError):  # of the array in memory, which comes next
        features.compute(
            small_disk, key=("a",), shape=(400_000,), dtype=np.float32, fill=fill, facts={},
            reporter=told,
        )  # fmt: skip
    assert "No space left on device" in told.notes[0]


def test_a_model_that_does_not_fit_is_the_systems_error(small_disk: Path) -> None:
    import torch

    (small_disk / "model.safetensors").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left on device"):
        write_tensors(small_disk / "model.safetensors", {"a": torch.zeros(500_000)}, {})
    assert [path.name for path in small_disk.iterdir()] == ["model.safetensors"]
    assert (small_disk / "model.safetensors").read_bytes() == b"before"


def test_data_that_vanish_in_an_epoch_are_named_and_the_run_goes_on_when_they_are_back(
    photos: Path, tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole", photos)
    away = photos.with_name("away")
    with pytest.raises(BadFilesError, match="there is no such file") as error:
        trained(tmp_path / "run", photos, reporter=At(2, lambda: photos.rename(away)))
    assert str(photos) in error.value.message
    with pytest.raises(ZooError, match=str(photos)):
        zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    away.rename(photos)
    resumed = zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert resumed.record["sha256"] == whole.record["sha256"]


def test_a_run_folder_below_a_file_is_refused_before_anything_trains(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written to"):
        trained(tmp_path / "file" / "run")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A file system that is only read; where this user may not mount one, a place below a file."""
    folder = tmp_path / "closed"
    with mounted(folder, "ro") as done:
        if not done:
            folder.rmdir()
            folder.touch()
        yield folder


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("finetune", "cnn", "--classes", 2, "--output"), "the run cannot be written to"),
        (("embed", "RUN", "DATA", "--output"), "cannot be written"),
        (("predict", "RUN", "DATA", "--output"), "the predictions cannot be written to"),
        (("export", "RUN", "--format", "native", "--output"), "the export cannot be written to"),
        (("report", "RUN", "--output"), "the report cannot be written to"),
        (("new-plugin", "acme", "--output"), "Read-only file system"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_output_that_is_only_read_is_said_in_two_lines(
    closed: Path, run_of_photos: Path, few_photos: Path, zoo_cli: Zoo,
    command: tuple[object, ...], words: str,
) -> None:  # fmt: skip
    names = {"RUN": run_of_photos, "DATA": few_photos}
    told = zoo_cli(*(names.get(str(each), each) for each in command), closed / "new.parquet")
    assert told.code == 1
    message = told.err[told.err.index("Error: ") :]
    assert f"{closed}/" in message
    assert words in message
    assert "--output" in message
    assert not (closed / "new.parquet").exists()


def test_a_run_goes_on_without_caches_that_are_only_read_and_says_so(
    closed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"strategy": "probe", "epochs": None, "batch_size": None}
    plain = trained(tmp_path / "plain", photos, **options)
    monkeypatch.setenv("ZOO_CACHE", str(closed / "zoo"))
    reporter = At(0, lambda: None)
    with pytest.warns(UserWarning, match=f"{closed}/zoo"):
        run = trained(tmp_path / "run", photos, reporter=reporter, **options)
    assert any(f"failed to cache features in {closed}/zoo" in note for note in reporter.notes)
    assert run.metrics == plain.metrics
