"""Membership inference by the loss: values that scikit-learn and counting give."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from zoo.runs.privacy import attack_in_words
from zoo.tasks.membership import auc, membership, tpr


def test_the_area_is_scikit_learns_with_ties() -> None:
    draw = np.random.default_rng(0)
    train, val = draw.exponential(1, 90).round(1), draw.exponential(1.6, 70).round(1)
    labels, scores = np.repeat([1, 0], [90, 70]), -np.concatenate([train, val])
    assert auc(train, val) == pytest.approx(roc_auc_score(labels, scores))


def test_true_positives_at_one_percent_of_false_ones() -> None:
    val = np.arange(200.0)  # two of them, 0 and 1, are below 2
    assert tpr(np.array([0.5, 1.5, 2.0, 3.0]), val) == 0.5


def test_what_tells_samples_apart_and_what_does_not() -> None:
    draw = np.random.default_rng(0)
    same = membership(draw.exponential(1, 1000), draw.exponential(1, 500))
    told = membership(draw.exponential(0.01, 1000), draw.exponential(1, 500))
    assert same is not None
    assert told is not None
    assert same.auc.low < 0.5 < same.auc.high
    assert told.auc.low > 0.95
    assert told.tpr is not None
    assert told.tpr.value > 0.5
    assert "does not tell whether" in attack_in_words(same.to_json())
    assert "tells much" in attack_in_words(told.to_json())
    little = membership(draw.exponential(0.8, 1000), draw.exponential(1, 1000))
    assert little is not None
    assert "tells a little" in attack_in_words(little.to_json())


def test_few_samples_have_no_rate_or_no_result_and_nan_none() -> None:
    few = membership(np.arange(30.0), np.arange(50.0))
    assert few is not None
    assert few.tpr is None
    assert "false positives" not in attack_in_words(few.to_json())
    assert membership(np.arange(30.0), np.arange(19.0)) is None
    assert membership(np.full(30, np.nan), np.arange(30.0)) is None
