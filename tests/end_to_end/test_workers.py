"""The processes that read images end with what they read for, not when garbage is collected."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import zoo
from tests.opened import make_loader, open_data
from zoo.contract.spec import ImageInput
from zoo.engine.progress import Advance, Quiet
from zoo.errors import BadFilesError, RunError, Stopped
from zoo.modalities import IMAGE
from zoo.modalities.image.transforms import make_transform

WORKERS = 2


def children() -> list[psutil.Process]:
    """The processes that this one has started and that are not gone yet."""
    return psutil.Process().children(recursive=True)


class Watching(Quiet):
    """Counts the children at each step, and in a chosen step does something."""

    def __init__(self, step: int = 0, does: Callable[[], object] = lambda: None) -> None:
        self.most = 0
        self._left, self._does = step, does

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        def advance() -> None:
            self.most = max(self.most, len(children()))
            self._left -= 1
            if self._left == 0:
                self._does()

        yield advance


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """Without the garbage collector, no child and no thread is left when a test has ended."""
    before, threads = {child.pid for child in children()}, set(threading.enumerate())
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    assert not [child for child in children() if child.pid not in before]
    assert not [each for each in threading.enumerate() if each not in threads]


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that every frozen backbone has to read the images."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def options(photos: Path, tmp_path: Path, **others: Any) -> dict[str, Any]:
    return {
        "backbone": "cnn",
        "data": photos,
        "weights": "none",
        "image_size": 32,
        "epochs": 2,
        "batch_size": 8,
        "cache_images": False,
        "workers": WORKERS,
        "output": tmp_path / "run",
        "report": False,
        **others,
    }


@pytest.mark.long
@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"strategy": "full"}, id="full"),
        pytest.param({"strategy": "full", "report": True}, id="report", marks=pytest.mark.slow),
        pytest.param({"strategy": "probe"}, id="probe", marks=pytest.mark.long),
        pytest.param({"strategy": "probe", "cached_views": 2}, id="views", marks=pytest.mark.slow),
        pytest.param(
            {"strategy": "full", "freeze_until": "conv1", "cached_views": 2},
            id="frozen-beginning",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_fine_tune_leaves_no_worker(photos: Path, tmp_path: Path, how: Mapping[str, Any]) -> None:
    reporter = Watching()
    run = zoo.finetune(**options(photos, tmp_path, reporter=reporter, **how))
    assert reporter.most >= WORKERS
    assert not children()
    assert run.metrics["accuracy"] >= 0


def test_workers_stay_from_epoch_to_epoch(photos: Path, tmp_path: Path) -> None:
    seen: set[int] = set()

    class Names(Watching):
        def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
            seen.update(child.pid for child in children())

    zoo.finetune(**options(photos, tmp_path, strategy="full", reporter=Names()))
    assert len(seen) == 2 * WORKERS  # of training and of validation


def test_none_is_kept_once_the_features_are_there(photos: Path, tmp_path: Path) -> None:
    left: list[int] = []

    class Late(Watching):
        def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
            left.append(len(children()))

    reporter = Late()
    zoo.finetune(**options(photos, tmp_path, strategy="probe", reporter=reporter))
    assert reporter.most >= WORKERS
    assert left
    assert not any(left)


def test_a_fine_tune_that_fails_leaves_none(photos: Path, tmp_path: Path) -> None:
    """The error, which is kept, holds on to everything that was there when it was raised."""
    reporter = Watching()
    with pytest.raises(RunError, match="became") as failed:
        zoo.finetune(**options(photos, tmp_path, strategy="full", lr=1e30, reporter=reporter))
    assert reporter.most >= WORKERS
    assert not children()
    assert failed.tb is not None


@pytest.mark.parametrize("strategy", ["full", pytest.param("probe", marks=pytest.mark.slow)])
def test_an_image_that_breaks_in_the_meantime_leaves_none(
    photos: Path, tmp_path: Path, strategy: str
) -> None:
    class Breaks(Watching):
        def header(self, facts: Mapping[str, str]) -> None:
            for image in (photos / "red").iterdir():
                image.write_bytes(image.read_bytes()[:200])

    with pytest.raises(BadFilesError) as failed:
        zoo.finetune(**options(photos, tmp_path, strategy=strategy, reporter=Breaks()))
    assert not children()
    assert failed.tb is not None


@pytest.mark.parametrize(
    ("part", "times", "leaves_by"),
    [
        ("full", 1, Stopped),
        ("probe", 2, KeyboardInterrupt),
        pytest.param("full", 2, KeyboardInterrupt, marks=pytest.mark.slow),
        pytest.param("probe", 1, Stopped, marks=pytest.mark.long),
        pytest.param("frozen layers", 1, Stopped, marks=pytest.mark.slow),
        pytest.param("frozen layers", 2, KeyboardInterrupt, marks=pytest.mark.long),
    ],
)
def test_ctrl_c_leaves_none(
    photos: Path, tmp_path: Path, part: str, times: int, leaves_by: type[BaseException]
) -> None:
    def interrupt() -> None:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)  # as a person needs at least

    reporter = Watching(2, interrupt)
    strategy = "probe" if part == "probe" else "full"
    frozen = {"freeze_until": "conv1", "cached_views": 1} if part == "frozen layers" else {}
    with pytest.raises(leaves_by) as left:
        zoo.finetune(**options(photos, tmp_path, strategy=strategy, reporter=reporter, **frozen))
    assert reporter.most >= WORKERS
    assert not children()
    assert left.tb is not None


@pytest.mark.long
def test_a_measured_learning_rate_leaves_none(photos: Path, tmp_path: Path) -> None:
    reporter = Watching()
    asked = options(photos, tmp_path, strategy="full", reporter=reporter)
    del asked["report"]
    zoo.find_lr(**asked)
    assert reporter.most >= WORKERS
    assert not children()


@pytest.mark.long
def test_what_only_reads_leaves_none(photos: Path, tmp_path: Path) -> None:
    run = zoo.finetune(**options(photos, tmp_path, reporter=Quiet(), epochs=1))
    assert len(run.predict([photos], workers=WORKERS)) == 72
    assert not children()
    run.evaluate(photos, workers=WORKERS)
    assert not children()
    zoo.embed(run.folder, photos, output=tmp_path / "features.npy", workers=WORKERS)
    assert not children()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((photos / "red" / "0.jpg").read_bytes()[:200])
    with pytest.raises(BadFilesError) as failed:
        run.predict([photos, broken], workers=WORKERS)
    assert not children()
    assert failed.tb is not None


def test_a_loader_that_is_closed_can_be_read_again(photos: Path) -> None:
    splits = open_data(photos, kind=IMAGE)
    transform = make_transform(ImageInput(size=32), train=False)
    loader = make_loader(splits.train, transform=transform, batch_size=8, workers=WORKERS)
    loader.close()  # nothing runs yet
    before = [batch["index"].tolist() for batch in loader]
    assert len(children()) == WORKERS
    loader.close()
    loader.close()
    assert not children()
    with loader:
        assert [batch["index"].tolist() for batch in loader] == before
        assert len(children()) == WORKERS
        next(iter(loader))  # and the pass is left unfinished
        assert [batch["index"].tolist() for batch in loader] == before
        next(iter(loader))
    assert not children()
