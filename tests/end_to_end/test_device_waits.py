"""The host does not wait for the device inside a step, a validation or the extraction of features."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from tests.device_waits import mark, recorded
from zoo.engine import extraction, find_lr, linear_fit, loop, readings, sources, streams
from zoo.engine.checkpoint import CheckpointStore
from zoo.engine.progress import Quiet
from zoo.engine.strategies import STRENGTHS
from zoo.errors import RunError
from zoo.modalities.image.placed import ImagePlacing
from zoo.training import finetune

READ = "read"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What would wait for a device: in training, in validation, in extraction."""
    found: dict[str, list[str]] = {"train": [], "validate": [], "extract": []}
    copied, read, wait = streams.Copies.__call__, readings.Readings.read, streams.wait_for
    train, fill = loop.train_epoch, extraction.fill_from

    @contextmanager
    def into(name: str, *modules: torch.nn.Module) -> Iterator[None]:
        with recorded(found[name], *modules), monkeypatch.context() as patch:
            patch.setattr(streams, "wait_for", lambda _: found[name].append("wait"))
            yield

    def trained(running: Any, save: Any) -> None:
        with into("train", running.setup.forward.backbone, running.setup.loss):
            train(running, save)

    def reading(self: readings.Readings) -> tuple[bool, bool]:
        found["train"].append(READ if self._taken else "empty read")
        return read(self)

    def validated(plain: Any) -> Any:
        def validate(self: Any) -> torch.Tensor:
            with into("validate", self._setup.forward.backbone):
                result: torch.Tensor = plain(self)
                return result

        return validate

    def filled(array: Any, loader: Any, forward: Any, *rest: Any, **others: Any) -> None:
        with into("extract", forward.backbone):
            fill(array, loader, forward, *rest, **others)

    for name in ("placed", "prepared"):
        put = getattr(ImagePlacing, name)
        monkeypatch.setattr(ImagePlacing, name, on_device(put))
    monkeypatch.setattr(streams.Copies, "__call__", lambda s, batch: mark(copied(s, batch)))
    monkeypatch.setattr(loop, "train_epoch", trained)
    monkeypatch.setattr(readings.Readings, "read", reading)
    monkeypatch.setattr(sources, "fill_from", filled)
    for kind in (sources.Batches, sources.Features):
        monkeypatch.setattr(kind, "validate", validated(kind.validate))
    monkeypatch.setattr(readings, "READ_SECONDS", 1e6)
    assert wait is streams.wait_for
    return found


def on_device(put: Any) -> Any:
    """Marks the pixels that are put on the device."""

    def marked_pixels(*given: Any, **options: Any) -> Any:
        samples = put(*given, **options)
        mark(samples.inputs.pixels)
        return samples

    return marked_pixels


def train(backbone: str, data: Path | None, folder: Path, **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"epochs": 2, "strategy": "full", "batch_size": 2, "weights": "none"}
    usual |= {"precision": "fp32", "compile": "off", "report": False, "reporter": Quiet()}
    return zoo.finetune(backbone, data, **usual | options, output=folder)


IMAGES = {"image_size": 16, "workers": 0}
IMAGE_OPTIONS = [
    {},
    {"mixup": 0.5, "cutmix": 1.0, "ema": 0.9, "l2sp": 0.1, "label_smoothing": 0.1, "accumulate": 2},
    {"class_weights": True, "precision": "fp16", "strategy": "lora"},
    {"strategy": "probe", "head_solver": "adamw"},
    {"strategy": "gradual", "head_solver": "lbfgs"},
    {"augment_on": "device", "augment": "trivial", "batch_size": 4, "resize": "pad"},
]


@pytest.mark.parametrize("options", IMAGE_OPTIONS, ids=lambda o: "-".join(o) or "plain")
def test_the_host_waits_for_the_device_at_the_readings_only(
    few: Path, tmp_path: Path, waits: dict[str, list[str]], options: dict[str, Any]
) -> None:
    train("cnn", few, tmp_path / "run", **IMAGES, **options)
    # After the first step of a phase, and after the last one of each epoch.
    readings = [READ, "tolist"] * 3
    if options.get("strategy") == "gradual":  # whose first phase reads whether L-BFGS has converged
        solved = [READ, "tolist"] * len(STRENGTHS)
        converged = waits["train"].index(READ)
        assert set(waits["train"][:converged]) == {"_local_scalar_dense"}
        assert converged <= linear_fit.ITERATIONS / linear_fit.READ_EVERY
        assert waits["train"][converged:] == [*solved, *readings]
    else:
        assert waits["train"] == readings
    assert set(waits["validate"]) <= {"wait", "cpu"}
    # Two splits, whose features are then the host's.
    assert [w for w in waits["extract"] if w != "numpy"] == ["wait"] * len(waits["extract"][::3])


@pytest.mark.long
def test_a_learning_rate_range_test_reads_at_intervals_and_finds_the_same(
    few: Path, tmp_path: Path, waits: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    measured = find_lr.find_lr

    def recorded_curve(setup: Any, phase: Any, **given: Any) -> find_lr.Curve:
        with recorded(found, setup.forward.backbone, setup.loss):
            return measured(setup, phase, **given, steps=40)

    monkeypatch.setattr(finetune, "find_lr", recorded_curve)
    monkeypatch.setattr(find_lr, "READ_SECONDS", 1e6)
    usual: dict[str, Any] = {"strategy": "full", "batch_size": 2, "weights": "none", **IMAGES}
    usual |= {"reporter": Quiet()}
    _, curve = zoo.find_lr("cnn", few, **usual, output=tmp_path / "intervals")
    assert found == ["tolist"] * 2
    monkeypatch.setattr(find_lr, "READ_STEPS", 1)
    _, each = zoo.find_lr("cnn", few, **usual, output=tmp_path / "each")
    assert each == curve
    assert waits["train"] == []


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Batches of 4 are of texts of equal length or, one of them, of different lengths."""
    table = tmp_path / "texts.csv"
    words = [1] * 8 + [2] * 8 + [3] * 7 + [5]
    rows = [f"{'film ' * n}{('wonderful', 'dreadful')[i % 2]},{i % 2}" for i, n in enumerate(words)]
    table.write_text("\n".join(["text,label", *rows]))
    return table


@pytest.mark.slow(1)
def test_texts_are_counted_on_the_host(
    texts: Path, tmp_path: Path, waits: dict[str, list[str]]
) -> None:
    run = train("lstm", texts, tmp_path / "run", batch_size=8, epochs=1)
    assert waits["train"] == [READ, "tolist"] * 2
    assert waits["validate"] == ["wait"]
    assert run.history["padding"].iloc[0] > 0


TEXT_OPTIONS = [{}, {"strategy": "lora"}, {"strategy": "probe", "head_solver": "adamw"}]


@pytest.mark.parametrize("options", TEXT_OPTIONS, ids=lambda o: o.get("strategy", "full"))
@pytest.mark.slow
def test_a_transformer_reads_no_mask(
    texts: Path, tiny_bert: Path, tmp_path: Path, options: dict[str, Any],
    waits: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given: list[bool] = []
    copied = streams.Copies.__call__

    def counted(self: streams.Copies, batch: Any) -> Any:
        given.append("attention_mask" in batch)
        return copied(self, batch)

    monkeypatch.setattr(streams.Copies, "__call__", counted)
    more = {"batch_size": 4, "epochs": 1, "weights": "auto", **options}
    train(f"path:{tiny_bert}", texts, tmp_path / "run", **more)
    assert set(given) == {True, False}
    assert waits["train"] == [READ, "tolist"] * (len(waits["train"]) // 2)
    assert set(waits["validate"]) <= {"wait", "cpu"}
    assert set(waits["extract"]) <= {"wait", "numpy"}


class StopsAfter(Quiet):
    """Stops the run after some steps of training."""

    def __init__(self, left: int) -> None:
        self._left = left

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Any]:
        def advance() -> None:
            self._left -= what.startswith("full ")
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance


class Spoilt(nn.Module):
    """A head whose outputs are not finite in one step."""

    def __init__(self, head: nn.Module, step: int) -> None:
        super().__init__()
        self.head, self._left = head, step

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self._left -= self.training
        outputs: torch.Tensor = self.head(features)
        return outputs * torch.inf if self._left == 0 else outputs


def spoil(backbone: zoo.Backbone) -> None:
    backbone.head = Spoilt(backbone.head, 3)


@pytest.mark.parametrize(
    ("reporter", "save_every"), [(Quiet(), 3600.0), (StopsAfter(4), 3600.0), (Quiet(), 0.0)]
)
def test_what_is_not_finite_is_named_at_the_next_reading_and_never_saved(
    few: Path, tmp_path: Path, reporter: Quiet, save_every: float,
    waits: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    saved: list[int] = []
    monkeypatch.setattr(
        CheckpointStore, "save", lambda self, progress, *_: saved.append(progress.step)
    )
    changes = {"surgery": spoil, "reporter": reporter, "save_every": save_every, "batch_size": 1}
    with pytest.raises(RunError, match=r"the loss became (inf|nan|-inf) in step 3 of epoch 1") as e:
        train("cnn", few, tmp_path / "run", **IMAGES, **changes, epochs=1)
    assert e.value.message.count(".png") == 1
    assert saved == ([1, 2] if save_every == 0 else [])  # the steps before it
    assert waits["train"].count(READ) == (3 if save_every == 0 else 2)
