"""A metric is a row of one table: whatever chooses, shows or evaluates by it reads it there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.tasks import TASKS, metrics, task_named
from zoo.tasks.metrics import Metric, MetricInput


def worst_recall(given: MetricInput) -> float:
    """Of the class that is found least often."""
    found = given.predicted == given.labels
    return float(min(found[given.labels == label].mean() for label in np.unique(given.labels)))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    row = Metric(
        key="worst_recall", title="worst recall", tasks=("single-label",), measure=worst_recall
    )
    monkeypatch.setattr(metrics, "METRICS", [*metrics.METRICS, row])
    return row.key


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name, value in (("dark", 40), ("light", 210)):
        (tmp_path / "squares" / name).mkdir(parents=True)
        for place in range(6):
            pixels = (value + draw.integers(-30, 30, (16, 16, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "squares" / name / f"{place}.png")
    return tmp_path / "squares"


def test_a_new_metric_touches_the_table_alone(toy: str, squares: Path, tmp_path: Path) -> None:
    options = {"epochs": 1, "image_size": 32, "metric": toy, "report": False}
    run = zoo.finetune("cnn", data=squares, output=tmp_path / "run", **options)
    assert run.task.metric == toy
    (evaluation,) = run.evaluate(squares).values()
    assert evaluation.metrics[toy] in (0.0, 0.5, 1.0)
    assert run.metrics[toy] == evaluation.metrics[toy]
    assert "worst recall" in (run.folder / "README.md").read_text()
    assert metrics.main_metric(run.metrics, toy) == toy


def test_each_task_has_its_default_and_a_loss() -> None:
    for name in TASKS:
        known = metrics.metrics_of(name)
        assert {task_named(name).metric, metrics.LOSS} <= set(known)


def test_one_metric_leads_each_task_that_the_loss_chooses_in() -> None:
    for name in TASKS:
        assert sum(metric.leads for metric in metrics.metrics_of(name).values()) == 1
