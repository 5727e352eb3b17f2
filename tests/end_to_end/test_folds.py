"""Cross-validation: folds that divide no group, out-of-fold predictions, and the final network."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import zoo
from zoo.engine.progress import Quiet
from zoo.errors import DataError, Stopped, UsageError

FEW: dict[str, Any] = {"image_size": 16, "report": False, "reporter": Quiet()}


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty patients of one colour each and a label at random: only who has seen them knows it."""
    folder, draw = tmp_path_factory.mktemp("patients"), np.random.default_rng(0)
    for patient in range(20):
        label = "ill" if patient % 2 else "well"
        colour = draw.integers(0, 255, 3)
        for number in range(5):
            pixels = np.clip(colour + draw.integers(-3, 4, (16, 16, 3)), 0, 255).astype(np.uint8)
            target = folder / label / f"p{patient:02}_{number}.png"
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(target)
    return folder


@pytest.fixture(scope="module")
def grouped(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    output = tmp_path_factory.mktemp("runs") / "grouped"
    return zoo.finetune(
        "cnn",
        patients,
        strategy="probe",
        folds=5,
        group_pattern=r"(p\d+)_",
        output=output,
        **{**FEW, "report": True},
    )


def folds_of(run: zoo.Run) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.record["results"]["folds"]
    return found


@pytest.mark.slow
def test_groups_that_leak_look_perfect_and_grouped_folds_are_at_chance(
    patients: Path, grouped: zoo.Run, tmp_path: Path
) -> None:
    leaking = zoo.finetune(
        "cnn", patients, strategy="probe", folds=5, output=tmp_path / "leaking", **FEW
    )
    assert leaking.metrics["accuracy"] > 0.95
    assert grouped.metrics["accuracy"] < 0.7
    assert [fold["groups"] for fold in folds_of(grouped)["each"]] == [4] * 5


def test_every_sample_is_predicted_by_the_fold_that_has_not_seen_it(grouped: zoo.Run) -> None:
    table = pd.read_parquet(grouped.folder / "oof.parquet")
    assert len(table) == 100
    assert table.groupby("group").fold.nunique().max() == 1
    assert sorted(table.fold.unique()) == [1, 2, 3, 4, 5]
    assert (table.label == table.predicted).mean() == pytest.approx(grouped.metrics["accuracy"])
    each = folds_of(grouped)["each"]
    for fold in each:
        own = table[table.fold == fold["fold"]]
        assert len(own) == fold["val"]
        assert (own.label == own.predicted).mean() == pytest.approx(fold["metrics"]["accuracy"])
    accuracies = [fold["metrics"]["accuracy"] for fold in each]
    assert folds_of(grouped)["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert folds_of(grouped)["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    kept = grouped.kept_predictions()
    assert np.allclose(kept.outputs, np.array(table.probabilities.tolist()), atol=1e-6)


def test_a_fold_is_a_run_and_the_final_network_has_seen_all(
    patients: Path, grouped: zoo.Run
) -> None:
    fold = zoo.open_run(grouped.folder / "folds" / "2")
    assert fold.record["data"]["val"] == 20
    assert not set(fold.record["data"]["shared"])
    report = (grouped.folder / "report.html").read_text()
    assert 'id="folds"' in report
    assert "samples, out of fold" in report
    assert grouped.record["data"]["train"] == 100
    found = grouped.calibration  # of the out-of-fold predictions, whose network has seen all
    assert found is not None
    assert (found.samples, found.distance) == (100, None)
    assert found.summary() == grouped.record["results"]["calibration"]
    with pytest.raises(UsageError, match="needs features of training samples"):
        grouped.predict([], reject=0.1)
    with pytest.raises(DataError, match="trained on all 100 samples"):
        grouped.evaluate(patients)


class StopsAt(Quiet):
    """Sends SIGINT in a fold's epoch."""

    def __init__(self, title: str) -> None:
        self.title, self.titles = title, list[str]()

    def note(self, text: str) -> None:
        self.titles.append(text)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        if self.titles and self.titles[-1] == self.title:
            self.title = ""
            os.kill(os.getpid(), signal.SIGINT)


def rows(path: Path, count: int = 40) -> Path:
    draw = np.random.default_rng(1)
    lines = [
        f"{'good' if i % 2 else 'poor'} film {draw.integers(9)} of {i},{i % 2},{i % 4}"
        for i in range(count)
    ]
    path.write_text("\n".join(["text,label,four", *lines]) + "\n")
    return path


@pytest.mark.parametrize("title", ["fold 2 of 3", "training on all samples"])
def test_a_stopped_cross_validation_goes_on_at_its_fold(tmp_path: Path, title: str) -> None:
    data = rows(tmp_path / "r.csv")
    options: dict[str, Any] = {"epochs": 2, "lr": 0.01, "folds": 3, "report": False}
    whole = zoo.finetune("lstm", data, output=tmp_path / "whole", reporter=Quiet(), **options)
    stops = StopsAt(title)
    if title.startswith("training"):
        stops.title = (
            "training on all samples; the validation values below are means over the folds"
        )
    with pytest.raises(Stopped, match="stopped"):
        zoo.finetune("lstm", data, output=tmp_path / "stopped", reporter=stops, **options)
    first = (tmp_path / "stopped/folds/1/run.json").stat().st_mtime_ns
    again = StopsAt("")
    resumed = zoo.resume(tmp_path / "stopped", reporter=again, report=False)
    assert "fold 1 of 3" not in again.titles
    assert (tmp_path / "stopped/folds/1/run.json").stat().st_mtime_ns == first
    assert resumed.record["sha256"] == whole.record["sha256"]
    assert folds_of(resumed) == folds_of(whole)


def test_given_splits_are_merged_and_values_are_in_their_units(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    for name, count in (("train", 24), ("val", 12)):
        lines = [f"word{v} film,{1000 * v}" for v in draw.integers(0, 9, count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    run = zoo.finetune(
        "lstm", tmp_path, task="regression", folds=2, epochs=1, output=tmp_path / "run", **TEXT
    )
    table = pd.read_parquet(tmp_path / "run/oof.parquet")
    assert len(table) == 36
    values = np.array(table["values"].tolist()).ravel()
    predicted = np.array(table.predicted.tolist()).ravel()
    rmse = float(np.sqrt(np.mean((values - predicted) ** 2)))
    assert rmse == pytest.approx(run.metrics["rmse"], rel=1e-4)
    assert rmse > 1000
    assert json.loads((tmp_path / "run/run.json").read_text())["data"]["val"] == 36


TEXT: dict[str, Any] = {"report": False, "reporter": Quiet()}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"folds": 50}, "needs at least 50 samples, and there are 40"),
        ({"folds": 25}, "a class of at least 25 samples; the largest has 20"),
        ({"folds": 5, "group_column": "label"}, "needs at least 5 groups, and there are 2"),
        ({"folds": 5, "val_split": 0.3}, "no effect with"),
        ({"folds": 5, "metric": "rmse"}, "rmse"),
        ({"folds": 4, "group_column": "four", "metric": "auroc"}, "on fold 1 of 4"),
        ({"folds": 1}, "must be at least 2"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(
    tmp_path: Path, options: Mapping[str, Any], says: str
) -> None:
    data = rows(tmp_path / "r.csv")
    with pytest.raises((DataError, UsageError), match=says):
        zoo.finetune("lstm", data, output=tmp_path / "run", **TEXT, **options)
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = SimpleNamespace(num_processes=2, is_main_process=True)
    monkeypatch.setattr("zoo.training.finetune.accelerator_for", lambda *_: two)
    with pytest.raises(UsageError, match="in one process, and there are 2"):
        zoo.finetune("lstm", rows(tmp_path / "r.csv"), folds=2, output=tmp_path / "run", **TEXT)


def test_a_fold_without_samples_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = [np.arange(40), np.array([], dtype=np.int64)]
    monkeypatch.setattr("zoo.data.folds.parts_of", lambda *_: parts)
    with pytest.raises(DataError, match="fold 1 of 2 would be empty or have all"):
        zoo.finetune("lstm", rows(tmp_path / "r.csv"), folds=2, output=tmp_path / "run", **TEXT)


def test_a_learning_rate_test_has_no_folds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no effect with"):
        zoo.find_lr("lstm", rows(tmp_path / "r.csv"), folds=3)
