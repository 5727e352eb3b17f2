"""``--threshold``: probabilities, and what the validation samples say is best."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo.errors import RunError, UsageError
from zoo.runs.predictions import EvaluatedSamples
from zoo.runs.thresholds import thresholds_of
from zoo.tasks.measures import cheapest_threshold
from zoo.tasks.multi_label import MultiLabel
from zoo.tasks.single_label import SingleLabel


def opened(task: Any, classes: tuple[str, ...], labels: Any, outputs: Any) -> Any:
    """A run with these validation predictions."""
    kept = EvaluatedSamples(("",) * len(labels), np.array(labels), np.array(outputs))
    return SimpleNamespace(
        task=task, classes=classes, folder=Path("run"), calibration=None, temperature=1.0,
        kept_predictions=lambda: kept,
    )  # fmt: skip


@pytest.mark.parametrize("ratio", [0.2, 1.0, 5.0])
def test_no_threshold_is_cheaper(ratio: float) -> None:
    random = np.random.default_rng(0)
    scores = random.random(80).round(1)  # some are equal
    labels = random.random(80) < scores

    def cost(threshold: float) -> float:
        predicted = scores >= threshold
        return float(ratio * (labels & ~predicted).sum() + (predicted & ~labels).sum())

    found = cheapest_threshold(labels, scores, ratio)
    assert cost(found) == min(map(cost, np.linspace(0, 1.05, 400)))
    assert found == pytest.approx(1 / (1 + ratio), abs=0.3)  # the scores are calibrated


def test_nothing_is_predicted_where_that_is_cheapest() -> None:
    assert cheapest_threshold(np.array([True, False]), np.array([0.2, 0.8]), 0.5) == 0.9
    assert cheapest_threshold(np.array([True, True]), np.array([0.2, 0.8]), 0.5) == 0.1


def test_labels_have_thresholds_by_cost_and_by_f1() -> None:
    outputs = [[0.9, 0.1], [0.6, 0.2], [0.4, 0.7], [0.2, 0.3]]
    run = opened(MultiLabel(), ("a", "b"), [[1, 0], [0, 0], [1, 0], [0, 0]], outputs)
    assert thresholds_of(run, "cost:0.5") == pytest.approx({"a": 0.75, "b": 1 / 1.5})  # no b
    assert thresholds_of(run, "cost:5")["a"] == pytest.approx(0.3)  # type: ignore[index]
    assert thresholds_of(run, {"a": "f1"}) == pytest.approx({"a": 0.3, "b": 0.5})
    assert thresholds_of(run, {"a": "cost:5", "b": 0.25}) == pytest.approx({"a": 0.3, "b": 0.25})
    assert thresholds_of(run, 0.25) == 0.25


def test_one_of_two_classes_has_a_threshold() -> None:
    outputs = [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]
    run = opened(SingleLabel(), ("ham", "spam"), [0, 0, 1, 1], outputs)
    limits = thresholds_of(run, {"spam": "cost:2"})
    assert limits == pytest.approx({"spam": 0.35, "ham": 0.65})
    predicted = SingleLabel().predictions(
        ["x"] * 4, np.array(outputs), run.classes, threshold=limits, unread=[()] * 4
    )
    assert [each.label for each in predicted] == ["ham", "ham", "spam", "spam"]
    for given in (0.3, "f1", {"ham": 0.1, "spam": 0.2}):
        with pytest.raises(UsageError, match="CLASS=P"):
            thresholds_of(run, given)
    with pytest.raises(UsageError, match="multi-label runs"):
        thresholds_of(opened(SingleLabel(), ("a", "b", "c"), [0], [[1, 0, 0]]), {"a": 0.2})


def test_predictions_that_are_gone_are_told() -> None:
    def gone() -> EvaluatedSamples:
        raise RunError("predictions.parquet does not exist", hint="none")

    run = opened(MultiLabel(), ("a", "b"), [[1, 0]], [[0.9, 0.1]])
    run.kept_predictions = gone
    with pytest.raises(UsageError, match="need the validation predictions"):
        thresholds_of(run, "cost:5")
