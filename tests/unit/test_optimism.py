"""Confidence intervals that account for groups, and for choosing the epoch on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from zoo.tasks import task_named
from zoo.tasks.metrics import find_metric
from zoo.tasks.optimism import LEAST, in_words, interval

TASK = task_named("single-label")
CLASSES = ("a", "b")


def answers(right: NDArray[np.bool_], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities that are right where ``right`` says."""
    predicted = np.where(right, labels, 1 - labels)
    return np.eye(2)[predicted] * 0.8 + 0.1


def test_the_gain_from_choosing_among_guesses_is_taken_off() -> None:
    draw = np.random.default_rng(0)
    values, corrected = [], []
    for _ in range(12):
        labels = draw.integers(0, 2, 100)
        epochs = [answers(draw.random(100) < 0.5, labels) for _ in range(20)]
        found = interval(TASK, epochs, labels, CLASSES, None)
        assert found is not None
        values.append(found.value)
        corrected.append(found.corrected)
        assert found.low < found.corrected < found.high
    assert np.mean(values) > 0.57  # the best of twenty guesses
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.03)


def test_one_epoch_has_nothing_to_choose() -> None:
    labels = np.arange(200) % 2
    right = np.arange(200) % 5 > 0
    found = interval(TASK, [answers(right, labels)], labels, CLASSES, None)
    assert found is not None
    assert (found.value, found.corrected) == (0.8, 0.8)
    expected = binomtest(160, 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert "Wilson interval of 200 samples" in in_words(found, "accuracy")
    assert "choosing" not in in_words(found, "accuracy")


def test_samples_of_a_group_are_one_draw() -> None:
    labels = np.arange(400) % 2
    groups = np.array([f"p{i // 10}" for i in range(400)])
    right = (np.arange(400) // 10) % 4 > 0  # all of a group are right, or none
    alone = interval(TASK, [answers(right, labels)], labels, CLASSES, None)
    grouped = interval(TASK, [answers(right, labels)], labels, CLASSES, groups)
    assert alone is not None
    assert grouped is not None
    assert (grouped.unit, grouped.units) == ("groups", 40)
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.2)


def test_a_metric_that_is_not_a_mean_and_one_that_is_low() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 80)
    outputs = [answers(draw.random(80) < share, labels) for share in (0.6, 0.8)]
    for metric in ("auroc", "loss"):
        task = TASK.selecting(find_metric(metric, TASK))
        found = interval(task, outputs, labels, CLASSES, None)
        assert found is not None
        assert found.value == pytest.approx(task.value(outputs[1], labels, CLASSES))
        assert found.low < found.corrected < found.high
        assert "choosing among 2 epochs" in in_words(found.to_json(), metric)


def test_too_few_say_nothing() -> None:
    labels = np.arange(LEAST - 1) % 2
    assert interval(TASK, [answers(labels > -1, labels)], labels, CLASSES, None) is None
    many = np.arange(400) % 2
    groups = np.array([f"p{i % 5}" for i in range(400)])
    assert interval(TASK, [answers(many > -1, many)], many, CLASSES, groups) is None


def test_no_mistakes_are_no_certainty() -> None:
    labels = np.arange(60) % 2
    outputs = [answers(labels > -1, labels)]
    expected = binomtest(60, 60).proportion_ci(method="wilson")
    alone = interval(TASK, outputs, labels, CLASSES, None)
    assert alone is not None
    assert (alone.low, alone.high) == pytest.approx((expected.low, 1.0))
    groups = np.array([f"p{i // 3}" for i in range(60)])
    grouped = interval(TASK, outputs, labels, CLASSES, groups)
    assert grouped is not None
    expected = binomtest(20, 20).proportion_ci(method="wilson")  # three samples of a group are one
    assert (grouped.low, grouped.high) == pytest.approx((expected.low, 1.0))
    ranked = TASK.selecting(find_metric("auroc", TASK))
    assert interval(ranked, outputs, labels, CLASSES, None) is None
