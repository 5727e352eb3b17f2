"""Distillation: a student learns from the outputs of a teacher, without labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from tests.end_to_end.conftest import Zoo
from tests.made_runs import weighted_run
from zoo.engine.progress import Quiet
from zoo.errors import DataError, UsageError
from zoo.registry.registry import Registry
from zoo.system.paths import cache_folder
from zoo.tasks import task_named
from zoo.tasks.losses import LossOptions
from zoo.training.distilled import DistillationLoss

QUICK: Any = {"image_size": 32, "workers": 0, "report": False, "reporter": Quiet()}


@pytest.fixture
def teacher(tmp_path: Path, photos: Path) -> zoo.Run:
    return zoo.finetune("cnn", photos, output=tmp_path / "teacher", epochs=4, **QUICK)


@pytest.fixture
def unlabelled(tmp_path: Path, photos: Path) -> Path:
    (tmp_path / "unlabelled").mkdir()
    for number, file in enumerate(sorted(photos.rglob("*.*"))):
        (tmp_path / "unlabelled" / f"{number:02}{file.suffix}").write_bytes(file.read_bytes())
    return tmp_path / "unlabelled"


@pytest.mark.slow
def test_a_student_learns_from_inputs_without_labels(
    teacher: zoo.Run,
    unlabelled: Path,
    photos: Path,
    tmp_path: Path,
    zoo_cli: Zoo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ("distill", "--teacher", teacher.folder, "--student", "cnn", "--data", unlabelled)
    options = ("--image-size", 32, "--workers", 0, "--epochs", 4, "--no-report")
    done = zoo_cli(*command, *options, "--output", tmp_path / "student", "--json")
    assert done.code == 0, done.err
    assert "metrics are agreement with it" in done.err
    said, student = json.loads(done.out), zoo.Run(tmp_path / "student")
    assert student.classes == teacher.classes
    assert said["agreement"] == said["metrics"]["accuracy"]
    files = sorted(unlabelled.iterdir())
    ours, theirs = (
        [each.to_json()["label"] for each in run.predict(files, workers=0)]
        for run in (student, teacher)
    )
    assert np.mean(np.array(ours) == np.array(theirs)) > 0.6
    assert student.record["distilled"]["sha256"] == teacher.record["sha256"]
    assert not student.record["distilled"]["labelled"]
    assert "validated against the teacher" in (student.folder / "README.md").read_text()
    kept = cache_folder() / "teachers"
    before = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    again = zoo.rerun(student, output=tmp_path / "again", report=False, reporter=Quiet())
    assert again.identical
    assert before == {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    labelled = zoo.distill(teacher, "cnn", photos, output=tmp_path / "known", epochs=1, **QUICK)
    assert labelled.record["distilled"]["labelled"]
    assert labelled.record["data"]["val_fingerprint"] == teacher.record["data"]["val_fingerprint"]
    assert labelled.evaluate(photos, workers=0)["val"].metrics["accuracy"] == pytest.approx(
        labelled.metrics["accuracy"]
    )


def test_the_loss_has_its_least_value_at_the_teachers_logits() -> None:
    task, temperature = task_named("single-label"), 3.0
    logits = torch.randn(6, 4, dtype=torch.float32)
    targets = torch.from_numpy(task.decode(logits / temperature)).float()
    loss = DistillationLoss(task.loss(np.zeros(6), LossOptions()), temperature)
    student = logits.clone().requires_grad_()
    loss(student, targets).sum().backward()
    torch.testing.assert_close(student.grad, torch.zeros(6, 4), atol=1e-5, rtol=0)
    entropy = -(targets * targets.log()).sum(dim=1)
    torch.testing.assert_close(loss(logits, targets), entropy * temperature**2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"temperature": 0}, "greater than 0"),
        ({"class_weights": True}, "class_weights does not work"),
        ({"data": None}, "distill needs"),
        ({"student": "lstm"}, "takes images, and lstm takes texts"),
    ],
)
def test_what_cannot_be_distilled_is_refused(
    options: dict[str, Any], reason: str, tmp_path: Path, few: Path
) -> None:
    made = weighted_run(tmp_path / "made", Registry.discover().resolve("cnn").spec)
    given = {"student": "cnn", "data": few, **QUICK, **options}
    if given["student"] == "lstm":
        del given["image_size"]
    student, data = given.pop("student"), given.pop("data")
    with pytest.raises(UsageError, match=reason):
        zoo.distill(made, student, data, output=tmp_path / "student", **given)
    assert not (tmp_path / "student").exists()


def test_too_few_inputs_and_a_temperature_for_values_are_refused(tmp_path: Path, few: Path) -> None:
    spec = Registry.discover().resolve("cnn").spec
    made = weighted_run(tmp_path / "made", spec)
    (tmp_path / "one").mkdir()
    file = next((few / "val").rglob("*.png"))
    (tmp_path / "one" / "a.png").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="1 readable input"):
        zoo.distill(made, "cnn", tmp_path / "one", output=tmp_path / "student", **QUICK)
    task = {"name": "regression", "metric": "mae", "mean": [0.0, 0.0], "std": [1.0, 1.0]}
    values = weighted_run(tmp_path / "values", spec, task=task)
    with pytest.raises(UsageError, match="predicts values"):
        zoo.distill(values, "cnn", few, temperature=2, output=tmp_path / "student", **QUICK)
