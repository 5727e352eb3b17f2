"""Runs that are stopped, killed or resumed at an awkward moment, in an awkward place."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.forked import Forked
from tests.end_to_end.test_resume import StopsAt, options
from zoo.engine.progress import Quiet
from zoo.errors import RunError, Stopped, UsageError, WorkersError
from zoo.modalities.image.batches import ImageBatches


class StopsIn(Quiet):
    """Sends this process a signal in the first step of something that is not training."""

    def __init__(self, what: str) -> None:
        self._what = what

    def steps(self, what: str, total: int):  # type: ignore[no-untyped-def]
        @contextmanager
        def counted():  # type: ignore[no-untyped-def]
            def advance() -> None:
                if what == self._what:
                    os.kill(os.getpid(), signal.SIGINT)

            yield advance

        return counted()


class Noted(Quiet):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def stopped(output: Path, **others: object) -> Path:
    """A run that was stopped after its third step."""
    with pytest.raises(Stopped):
        zoo.finetune(**options(output, **{"reporter": StopsAt(3), **others}))
    return output


@pytest.mark.long
def test_gradual_with_averaged_weights_goes_on_where_a_stage_unfreezes(tmp_path: Path) -> None:
    own = {"strategy": "gradual", "ema": 0.9, "epochs": 1, "batch_size": 128}
    whole = zoo.finetune(**options(tmp_path / "whole", **own))
    for step in (6, 7):  # the first steps of the last phase, after each of which a stage joins
        with pytest.raises(Stopped):
            zoo.finetune(**options(tmp_path / f"{step}", **own, reporter=StopsAt(step)))
        run = zoo.resume(tmp_path / f"{step}", reporter=Quiet(), report=False)
        assert run.record["sha256"] == whole.record["sha256"]
        assert run.metrics == whole.metrics


@pytest.mark.slow
def test_a_run_stopped_again_while_it_prepares_to_go_on_loses_nothing(tmp_path: Path) -> None:
    own = {"strategy": "probe", "head_solver": "adamw", "epochs": 3, "image_size": 48}
    whole = zoo.finetune(**options(tmp_path / "whole", **own))
    run = stopped(tmp_path / "run", **own, reporter=StopsAt(5))
    before = (run / "last" / "state.safetensors").read_bytes()
    shutil.rmtree(Path(os.environ["ZOO_CACHE"]) / "features")
    with pytest.raises(Stopped):
        zoo.resume(run, reporter=StopsIn("features"))
    assert (run / "last" / "state.safetensors").read_bytes() == before
    assert (
        zoo.resume(run, reporter=Quiet(), report=False).record["sha256"] == whole.record["sha256"]
    )


@pytest.mark.long
def test_a_run_whose_worker_is_killed_says_so_and_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"epochs": 1, "workers": 1}
    whole = zoo.finetune(**options(tmp_path / "whole", **own))
    main, asked, calls = os.getpid(), ImageBatches.__getitems__, list[object]()

    def killed(feed: ImageBatches, keys: Any) -> Any:
        calls.append(keys)
        if os.getpid() != main and len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return asked(feed, keys)

    with monkeypatch.context() as patched:
        patched.setattr(ImageBatches, "__getitems__", killed)
        with pytest.raises(WorkersError, match="killed by SIGKILL") as caught:
            zoo.finetune(**options(tmp_path / "killed", **own))
    assert f"zoo finetune --resume {tmp_path / 'killed'}" in caught.value.hint
    run = zoo.resume(tmp_path / "killed", reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    assert run.metrics == whole.metrics


def test_a_run_that_is_paused_for_long_in_an_epoch_ends_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped(tmp_path / "run")
    clock = time.perf_counter
    started = clock()
    # Each look at the clock is a day after the last one.
    monkeypatch.setattr(time, "perf_counter", lambda: started + 86_400 * 1000 * (clock() - started))
    resumed = zoo.resume(run, reporter=Quiet(), report=False)
    speeds = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["samples_per_second"] < 0.05 for line in speeds)
    assert 0 < resumed.record["results"]["samples_per_second"] < 0.05


@pytest.mark.parametrize("data", [".", "photos/table.csv"])
def test_a_resumed_run_names_its_samples_as_the_undisturbed_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    names = sorted(p.relative_to(photos) for p in photos.glob("*/*.*"))
    rows = [f"{name},{name.parent}\n" for name in names]
    monkeypatch.chdir(tmp_path / ("photos" if data == "." else ""))
    if data.endswith(".csv"):
        Path(data).write_text("image,label\n" + "".join(rows))
    own = {"data": data, "classes": 3, "batch_size": 8, "image_size": 32, "epochs": 1}
    whole = zoo.finetune(**options(tmp_path / "whole", **own))
    run = stopped(tmp_path / "run", **own)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # from where the data have another relative path
    zoo.resume(run, reporter=Quiet(), report=False)
    expected = (whole.folder / "predictions.parquet").read_bytes()
    first = pq.read_table(run / "predictions.parquet").to_pydict()["input"][0]
    assert not os.path.isabs(first)
    assert (run / "predictions.parquet").read_bytes() == expected
    assert zoo.compare([whole.folder, run]).samples == whole.record["data"]["val"]


def test_a_run_killed_after_it_finished_is_tidied(tmp_path: Path, zoo_cli: Zoo) -> None:
    run = zoo.finetune(**options(tmp_path / "run", epochs=1, report=True)).folder
    whole = sorted(path.name for path in run.iterdir())
    (run / "last").mkdir()
    (run / "last" / "state.safetensors").write_bytes(b"state")
    (run / ".lock").touch()
    (run / ".run.0123456789ab.json").write_text("{}")
    (run / "report.html").unlink()
    (run / ".mine").write_text("the user's own")
    done = zoo_cli("finetune", "--resume", run)
    assert done.code == 0, done.err
    assert "was already finished" in done.err
    assert sorted(path.name for path in run.iterdir()) == sorted([*whole, ".mine"])
    again = zoo_cli("finetune", "--resume", run)
    assert again.code == 1
    assert "already finished" in again.err


def test_what_a_kill_left_half_written_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    (run / ".run.0123456789ab.json").write_text("{}")
    (run / "last" / ".state.0123456789ab.safetensors").write_bytes(b"half")
    zoo.resume(run, reporter=Quiet(), report=False)
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("library", ["numpy", "pillow", "acme-zoo"])
def test_a_run_of_other_libraries_is_not_gone_on_with(tmp_path: Path, library: str) -> None:
    run = stopped(tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    if library in record["versions"]:
        record["versions"][library] = "0.0.1"
    else:
        entry = {"distribution": library, "version": "0.0.1", "opening": [], "training": []}
        record["plugins"]["basics"] = entry
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=f"{library}.*0.0.1") as told:
        zoo.resume(run, reporter=Quiet(), report=False)
    assert "Install those" in told.value.hint


@pytest.mark.slow
def test_a_run_goes_on_with_as_many_threads_as_it_began(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    before = torch.get_num_threads()
    record = json.loads((run / "run.json").read_text())
    assert record["machine"]["threads"] == before
    record["machine"] |= {"threads": before + 1, "instructions": "ABACUS"}
    (run / "run.json").write_text(json.dumps(record))
    seen: list[int] = []

    class Counts(Noted):
        def epoch(self, record: Any, epochs: int) -> None:
            seen.append(torch.get_num_threads())

    reporter = Counts()
    zoo.resume(run, reporter=reporter, report=False)
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before
    assert any(f"{before + 1} threads" in note for note in reporter.notes)
    assert any("a processor with ABACUS" in note for note in reporter.notes)


def test_a_run_goes_on_where_it_began_or_not_at_all(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["device"] = "xpu"
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="xpu"):
        zoo.resume(run, reporter=Quiet(), report=False)


def test_a_resumed_run_is_tracked_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training import run_options, train

    started: list[str] = []
    monkeypatch.setattr(train, "start_tracker", lambda _, name, *__: started.append(name))
    monkeypatch.setattr(run_options, "refuse_tracker", lambda _: None)
    monkeypatch.setattr(run_options, "Accelerator", _untracked)
    run = stopped(tmp_path / "run", track="tensorboard")
    shutil.copytree(run, tmp_path / "copy")
    zoo.resume(run, reporter=Quiet(), report=False)
    assert started == ["tensorboard"] * 2
    zoo.resume(tmp_path / "copy", track="none", reporter=Quiet(), report=False)
    assert started == ["tensorboard"] * 2


def _untracked(**options: Any) -> Any:
    from accelerate import Accelerator

    return Accelerator(**options | {"log_with": None})


@pytest.mark.slow
def test_resuming_a_run_that_still_trains_is_refused_and_never_trains_it_again(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    command = ("finetune", "cnn", "--classes", 2, "--epochs", 200, "--workers", 0)
    first = Forked(*command, "--output", run, cwd=tmp_path)
    while not (run / "run.json").exists():
        assert first.poll() is None, first.read()
        time.sleep(0.05)
    second = Forked("finetune", "--resume", run, cwd=tmp_path)
    _, refused = second.communicate()
    assert second.returncode == 1
    assert f"another process is training in {run}" in refused
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    _, err = first.communicate()
    assert first.returncode == 130, err


def test_a_run_that_ends_while_its_resuming_waits_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training import resume as resuming
    from zoo.training.run_options import RunOptions

    run, locked = stopped(tmp_path / "run"), resuming.locked

    @contextmanager
    def late(folder: Path, leads: bool = True):  # type: ignore[no-untyped-def]
        with monkeypatch.context() as patch:  # the other process ends just before the lock is had
            patch.setattr(resuming, "locked", locked)
            resuming.resume(
                folder,
                RunOptions(registry=zoo.Registry.discover(), reporter=Quiet(), report=False),
            )
        with locked(folder, leads):
            yield

    monkeypatch.setattr(resuming, "locked", late)
    with pytest.raises(RunError, match="finished"):
        zoo.resume(run, reporter=Quiet(), report=False)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


class Unread(Quiet):
    """As a log whose reader goes away after the first epoch."""

    def epoch(self, record: Any, epochs: int) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@pytest.fixture
def attached() -> Iterator[None]:
    """As on a terminal: under ``nohup`` the tests would go on without one, and so would training."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("attached")
def test_a_lost_terminal_and_a_reader_that_goes_save_the_run(tmp_path: Path) -> None:
    whole = zoo.finetune(**options(tmp_path / "whole"))
    losses = {signal.SIGHUP: StopsAt(3, signal.SIGHUP), signal.SIGPIPE: Unread()}
    for number, reporter in losses.items():
        with pytest.raises(Stopped) as told:
            zoo.finetune(**options(tmp_path / f"{number}", reporter=reporter))
        assert told.value.signal == number
        run = zoo.resume(tmp_path / f"{number}", reporter=Quiet(), report=False)
        assert run.record["sha256"] == whole.record["sha256"]


def test_too_little_memory_leaves_no_unfinished_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training import train

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(train, "fit", full)
    with pytest.raises(MemoryError):
        zoo.finetune(**options(tmp_path / "deep" / "run"))
    assert not (tmp_path / "deep").exists()
