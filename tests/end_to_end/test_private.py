"""Differential privacy: the head that is trained, what the run records and keeps back, bad input."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.engine import privacy
from zoo.engine.progress import Quiet
from zoo.errors import Stopped, UsageError
from zoo.export.push import public_record
from zoo.runs.feature_bank import BANK
from zoo.runs.trained_on import DIGESTS

pytest.importorskip("opacus", reason="the extra 'private' is not installed")

FEW: dict[str, Any] = {"image_size": 16, "report": False, "reporter": Quiet(), "workers": 0}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 images each that a random network tells apart."""
    folder, draw = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for name, light in (("dark", 0), ("light", 120)):
        (folder / name).mkdir()
        for number in range(30):
            pixels = (light + draw.integers(0, 130, (16, 16, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accountant has tests of its own, and takes seconds."""
    monkeypatch.setattr(privacy, "_noise", lambda *_: (0.3, "PRV"))


def train(data: Path, output: Path, **options: Any) -> zoo.Run:
    usual: dict[str, Any] = {"private": 8.0, "weights": "none", "output": output}
    return zoo.finetune("cnn", data, **FEW | usual | options)


def test_a_private_run_learns_and_keeps_back_what_would_tell_its_samples(
    colours: Path, tmp_path: Path
) -> None:
    run = train(colours, tmp_path / "run")
    assert run.metrics["accuracy"] == 1
    found = run.record["privacy"]
    assert found == {
        "epsilon": 8.0,
        "delta": pytest.approx(0.1 / 48),
        "noise_multiplier": 0.3,
        "clipping_norm": 1.0,
        "sampling_rate": 0.25,
        "steps": 100,
        "accountant": found["accountant"],
        "groups": False,
    }
    assert found["accountant"].startswith("PRV of Opacus ")
    assert not (run.folder / DIGESTS).exists()
    assert not (run.folder / BANK).exists()
    epochs = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert len(epochs) == 25
    assert not any("train_loss" in line for line in epochs)
    public = public_record(run.record)
    assert public["privacy"] == found
    assert public["data"]["fingerprint"] == public["data"]["val_fingerprint"] == ""
    card = (run.folder / "README.md").read_text()
    assert "epsilon 8, delta 0.0021" in card
    assert "does not cover the validation samples" in card


class StopsAfterAnEpoch(Quiet):
    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_noise_differs_between_runs_and_is_the_same_after_a_stop(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter((1, 1, 3, 2))  # the third is replaced by that of the checkpoint
    monkeypatch.setattr("secrets.randbits", lambda _: next(keys))
    whole = train(colours, tmp_path / "whole", epochs=3)
    with pytest.raises(Stopped):
        train(colours, tmp_path / "stopped", epochs=3, reporter=StopsAfterAnEpoch())
    resumed = zoo.resume(tmp_path / "stopped", reporter=Quiet(), report=False)
    assert resumed.record["sha256"] == whole.record["sha256"]
    other = train(colours, tmp_path / "other", epochs=3)
    assert other.record["sha256"] != whole.record["sha256"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"private": 0}, "private must be in"),
        ({"private": -1}, "private must be in"),
        ({"private": float("nan")}, "private must be in"),
        ({"strategy": "full"}, "strategy probe only, got 'full'"),
        ({"strategy": "two-stage"}, "strategy probe only, got 'two-stage'"),
        ({"head": "mlp"}, "needs a linear head, got 'mlp'"),
        ({"task": "regression"}, "standardised over the training samples"),
        ({"folds": 3}, "folds does not work with private"),
        ({"time_limit": 60}, "time_limit does not work with private"),
        ({"class_weights": True}, "class_weights does not work with private"),
        ({"schedule": "linear"}, "schedule has no effect with private"),
        ({"private_delta": 0.1}, "private_delta must be below 0.021"),
        ({"private": None, "strategy": "probe", "private_delta": 0.1}, "private_delta has no"),
    ],
)
def test_what_does_not_go_with_privacy_is_refused(
    colours: Path, tmp_path: Path, options: Mapping[str, Any], words: str
) -> None:
    data: Path = colours
    if "task" in options:
        data = tmp_path / "values.csv"
        rows = [f"{colours}/dark/{number}.png,{number}.5" for number in range(30)]
        data.write_text("\n".join(["image,value", *rows]))
    with pytest.raises(UsageError) as caught:
        train(data, tmp_path / "run", **options)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_too_few_samples_a_tokenizer_from_the_data_and_a_rate_test_are_refused(
    colours: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"at least 5 training samples per class.* 10, got 6"):
        train(colours, tmp_path / "few", val_split=0.9)
    texts = tmp_path / "texts.csv"
    rows = [f"word{n % 7} word{n % 5},{n % 2}" for n in range(60)]
    texts.write_text("\n".join(["text,label", *rows]))
    with pytest.raises(UsageError, match="tokenizer would be trained on the training texts"):
        zoo.finetune("lstm", texts, private=4, weights="none", reporter=Quiet())
    with pytest.raises(UsageError, match="its steps would have no noise"):
        zoo.find_lr("cnn", colours, private=4)
