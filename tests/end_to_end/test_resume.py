"""Stopping and resuming from the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.forked import Forked
from zoo.engine.interrupts import Interrupted
from zoo.engine.progress import Advance, Quiet
from zoo.errors import RunError, Stopped


class StopsAt(Quiet):
    """Sends this process a signal after a number of steps of training."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self._left, self._number = step, number

    def steps(self, what: str, total: int):  # type: ignore[no-untyped-def]
        from contextlib import contextmanager

        @contextmanager
        def counted():  # type: ignore[no-untyped-def]
            def advance() -> None:
                self._left -= what not in ("reading", "decoding")  # before training
                if self._left == 0:
                    os.kill(os.getpid(), self._number)

            yield advance

        return counted()


def options(output: Path, **others: object) -> dict[str, object]:
    return {
        "backbone": "cnn",
        "classes": 2,
        "epochs": 2,
        "batch_size": 64,
        "image_size": 16,
        "workers": 0,
        "output": output,
        "reporter": Quiet(),
        "report": False,
        **others,
    }


@pytest.mark.parametrize(
    ("number", "pixels"),
    [(signal.SIGINT, 32), (signal.SIGTERM, 96)],  # the larger ones are computed channels-last
)
def test_a_signal_finishes_the_step_and_the_run_goes_on_to_the_same_bytes(
    tmp_path: Path, photos: Path, number: int, pixels: int
) -> None:
    data = {
        "classes": 3,
        "data": photos,
        "batch_size": 16,
        "image_size": pixels,
    }  # 4 steps an epoch
    whole = zoo.finetune(**options(tmp_path / "whole", **data))
    with pytest.raises(Stopped) as stopped:
        zoo.finetune(**options(tmp_path / "run", **data, reporter=StopsAt(6, number)))
    assert stopped.value.signal == number
    assert f"zoo finetune --resume {tmp_path / 'run'}" in stopped.value.hint
    with pytest.raises(RunError, match="is not finished"):
        zoo.open_run(tmp_path / "run")
    run = zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    assert run.metrics == whole.metrics
    assert not (run.folder / "last").exists()
    with pytest.raises(RunError, match="finished"):
        zoo.resume(run.folder)


def test_changed_data_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        zoo.finetune(
            **options(tmp_path / "run", classes=3, data=photos, batch_size=8, image_size=32)
            | {"reporter": StopsAt(3)}
        )
    next((photos / "red").iterdir()).unlink()
    with pytest.raises(RunError, match="has changed since"):
        zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    start = tmp_path / "start"
    for seed in (0, 1):
        zoo.finetune(**options(tmp_path / f"{seed}", seed=seed, epochs=1))
    shutil.copytree(tmp_path / "0", start)
    with pytest.raises(Stopped):
        zoo.finetune(**options(tmp_path / "run", weights=str(start), reporter=StopsAt(9)))
    shutil.rmtree(start)
    shutil.copytree(tmp_path / "1", start)
    with pytest.raises(RunError, match=r"the weights that .* started from have changed"):
        zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    from filelock import FileLock

    with pytest.raises(Stopped):
        zoo.finetune(**options(tmp_path / "run", reporter=StopsAt(3)))
    with FileLock(tmp_path / "run" / ".lock"):
        with pytest.raises(RunError, match="another process"):
            zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)


SLOW = """
import time

def slow(backbone):
    backbone.register_forward_hook(lambda *_: time.sleep(30))
"""


def start(folder: Path, *options: str) -> Forked:
    """``zoo finetune`` in ``folder``, that has begun to train into ``run``."""
    command = ("finetune", "cnn", "--classes", 2, "--epochs", 200, "--workers", 0)
    process = Forked(*command, "--output", "run", *options, cwd=folder)
    deadline = time.monotonic() + 120
    while not (folder / "run" / "run.json").exists():
        assert process.poll() is None, process.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    return process


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "press Ctrl-C again" in err
    assert "zoo finetune --resume run" in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is False


@pytest.mark.slow
def test_a_sigterm_to_the_whole_group_finishes_the_step_too(tmp_path: Path) -> None:
    process = start(tmp_path, "--workers", "2")
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 143
    assert "worker" not in err
    assert "zoo finetune --resume run" in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is False
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no worker is left


@pytest.mark.slow
def test_ctrl_c_and_sigterm_at_the_same_time_count_as_one(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.count("press Ctrl-C again") == 1
    assert "zoo finetune --resume run" in err
    assert list((tmp_path / "run" / "last").iterdir())


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_in_the_middle_of_a_step(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(SLOW)
    process = start(tmp_path, "--surgery", "sleeping:slow")
    process.send_signal(signal.SIGINT)
    while "press Ctrl-C again" not in process.read()[1]:
        assert process.poll() is None, "the process ended with the first signal"
        time.sleep(0.05)
    began = time.monotonic()
    time.sleep(0.2)  # as a person needs at least
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert time.monotonic() - began < 15  # of the step's 30 seconds
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "last").exists()


def test_resume_takes_nothing_that_would_change_the_run(tmp_path: Path, zoo_cli: Zoo) -> None:
    refused = zoo_cli("finetune", "--resume", tmp_path, "--epochs", 3)
    assert refused.code == 1
    assert "--epochs" in refused.err
    assert zoo_cli("finetune").code == 1


def test_an_interrupt_is_no_error_of_the_users() -> None:
    assert not issubclass(Interrupted, zoo.ZooError)
    assert Advance is not None


def test_a_run_that_cannot_be_written_at_its_end_is_kept_only_if_something_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training import train

    def full(*_: object) -> None:
        raise RunError("no space left on device")

    monkeypatch.setattr(train, "finish_run", full)
    with pytest.raises(RunError, match="no space"):
        zoo.finetune(**options(tmp_path / "deep" / "a" / "run"))
    assert not (tmp_path / "deep").exists()
    with pytest.raises(RunError, match="no space"):
        zoo.finetune(**options(tmp_path / "run", save_every=0))
    monkeypatch.undo()
    assert zoo.resume(tmp_path / "run", reporter=Quiet(), report=False).metrics["loss"] < 1
