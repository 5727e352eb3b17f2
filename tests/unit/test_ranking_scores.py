"""Scores of features, against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from zoo.ranking.results import Ranked
from zoo.ranking.scores import logme, probe
from zoo.tasks import task_named


def _made(count: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, width))
    return features, generator.integers(0, 3, count)


def _log_evidence(precisions: np.ndarray, features: np.ndarray, target: np.ndarray) -> float:
    """Of Gaussian targets whose mean is ``features @ w`` with ``w`` Gaussian, straight from that."""
    alpha, beta = np.exp(precisions)
    covariance = features @ features.T / alpha + np.eye(len(features)) / beta
    return float(multivariate_normal(cov=covariance).logpdf(target))


@pytest.mark.parametrize(("count", "width"), [(30, 5), (12, 20)])
def test_logme_is_the_largest_evidence_that_a_search_finds(count: int, width: int) -> None:
    features, _ = _made(count, width)
    target = features @ np.linspace(-1, 1, width) + np.random.default_rng(1).normal(size=count)
    found = minimize(
        lambda precisions: -_log_evidence(precisions, features, target),
        x0=np.zeros(2),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
    )
    assert logme(features, target[:, None]) == pytest.approx(-found.fun / count, abs=1e-5)


def test_logme_of_several_columns_is_their_mean() -> None:
    features, labels = _made(40, 6)
    targets = task_named("single-label").probe.targets(labels)
    own = [logme(features, column[:, None]) for column in targets.T]
    assert targets.shape == (40, 3)
    assert logme(features, targets) == pytest.approx(np.mean(own))


def test_logme_prefers_features_that_tell_the_classes_apart() -> None:
    features, labels = _made(60, 8)
    telling = features + 3 * np.eye(8)[labels]
    targets = task_named("single-label").probe.targets(labels)
    assert logme(telling, targets) > logme(features, targets) + 0.1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(3)))
def test_what_classes_are_called_changes_no_score(seed: int, order: list[int]) -> None:
    features, labels = _made(30, 4, seed)
    labels[:3] = range(3)
    renamed = np.array(order)[labels]
    first, second = (
        logme(features, task_named("single-label").probe.targets(own)) for own in (labels, renamed)
    )
    assert first == pytest.approx(second)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_logme_does_not_depend_on_the_order_of_samples_or_features(seed: int) -> None:
    features, labels = _made(30, 4, seed)
    targets = task_named("single-label").probe.targets(labels)
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(30), generator.permutation(4)
    shuffled = logme(features[rows][:, columns], targets[rows])
    assert shuffled == pytest.approx(logme(features, targets))


def test_the_probe_says_how_often_it_is_right_on_what_it_has_not_seen() -> None:
    features, labels = _made(150, 10)
    telling = features + 4 * np.eye(10)[labels]
    assert probe(telling, labels, task_named("single-label").probe) > 0.95
    assert (
        probe(features, labels, task_named("single-label").probe) < 0.5
    )  # noise that a fit alone would follow


def test_the_probe_of_several_labels_and_of_numbers() -> None:
    features, _ = _made(120, 6)
    several = np.stack([features[:, 0] > 0, features[:, 1] > 0.5, features[:, 1] > 9], axis=1)
    assert probe(features, several.astype(np.float32), task_named("multi-label").probe) > 0.9
    assert task_named("multi-label").probe.targets(several.astype(np.float32)).shape == (120, 2)
    numbers = np.stack([features[:, 0] * 100 + 7, features[:, 2]], axis=1).astype(np.float32)
    assert probe(features, numbers, task_named("regression").probe) == pytest.approx(1, abs=1e-3)
    assert task_named("regression").probe.targets(numbers).std(axis=0) == pytest.approx([1, 1])


def test_the_probe_asks_before_each_fold() -> None:
    features, labels = _made(50, 4)
    asked: list[int] = []
    probe(features, labels, task_named("single-label").probe, check=lambda: asked.append(1))
    assert len(asked) == 5


def test_equal_features_tie_and_better_ones_do_not() -> None:
    labels = np.arange(300) % 3
    clear = np.eye(3)[labels] + 0.1 * np.random.default_rng(0).normal(size=(300, 3))
    vague = np.eye(3)[labels] + 1.0 * np.random.default_rng(1).normal(size=(300, 3))
    rows = []
    for features in (clear, vague, vague[:, ::-1]):
        draws: list[float] = []
        score = probe(features, labels, task_named("single-label").probe, draws=draws)
        rows.append(
            Ranked(
                name="n", backbone="p/n", weights="none", probe=score, logme=0.0, params=1,
                feature_dim=3, seconds=None, license="", draws=tuple(draws),
            )
        )  # fmt: skip
    first, second, same = rows
    assert not second.ties_with(first)
    assert same.ties_with(second)
    assert second.interval is not None
    low, high = second.interval
    assert low < second.probe < high
    assert high - low == pytest.approx(
        4 * (second.probe * (1 - second.probe) / 300) ** 0.5, rel=0.3
    )
    assert second.to_json()["interval"] == [low, high]
