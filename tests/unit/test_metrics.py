"""Metrics: scikit-learn's values, what is undefined, how they are named, and a plugin's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from zoo.errors import UsageError
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.tasks import TASKS, metrics, task_named
from zoo.tasks.counts import by_class, confusion
from zoo.tasks.defined import require_defined
from zoo.tasks.metric_table import LOSS
from zoo.tasks.metrics import find_metric

NONE = Registry((), Policy(), Index())
DRAW = np.random.default_rng(1)
BINARY = (DRAW.normal(size=(80, 2)), np.arange(80) % 2)
CLASSES = (DRAW.normal(size=(90, 4)), np.arange(90) % 4)
SETS = (DRAW.normal(size=(70, 3)), (DRAW.random((70, 3)) < 0.4).astype(np.float32))


def value_of(
    task: str, metric: str, logits: Any, labels: Any, names: str = "abcd"
) -> tuple[float, tuple[str, ...]]:
    """The metric as a task computes it, and the remarks."""
    plain = task_named(task)
    fitted = plain.fitted(labels, find_metric(metric, plain, registry=NONE))
    result = fitted.evaluation(torch.from_numpy(logits), labels, names[: logits.shape[1]])
    return result.metrics[fitted.metric], result.notes


def softmax(logits: Any) -> Any:
    return torch.from_numpy(logits).softmax(dim=1).numpy()


def sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


def sensitivity(truth: Any, scores: Any, specificity: float) -> float:
    """By trying every threshold."""
    found = [0.0]
    for threshold in np.unique(scores):
        said = scores >= threshold
        if (~said[truth == 0]).mean() >= specificity:
            found.append(said[truth == 1].mean())
    return max(found)


@pytest.mark.parametrize("sets", [False, True])
def test_counts_of_each_class_are_those_of_scikit_learn(sets: bool) -> None:
    """Class 3 is never predicted, class 4 never the label, class 5 neither."""
    if sets:
        labels, predicted = DRAW.random((50, 6)) < 0.4, DRAW.random((50, 6)) < 0.4
        predicted[:, [3, 5]] = labels[:, [4, 5]] = False
    else:
        labels, predicted = DRAW.integers(0, 4, 50), DRAW.choice([0, 1, 2, 4], 50)
        assert (confusion(predicted, labels, 6) == sk.confusion_matrix(labels, predicted, labels=range(6))).all()  # fmt: skip
    counts = by_class(predicted, labels, 6)
    expected = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(6), zero_division=0
    )
    found = (counts.precision, counts.recall, counts.f1, counts.true)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    macro = sk.f1_score(labels, predicted, average="macro", labels=range(5), zero_division=0)
    assert counts.f1[counts.seen].mean() == pytest.approx(macro)


def test_two_classes_are_measured_by_the_second() -> None:
    logits, labels = BINARY
    positive, predicted = softmax(logits)[:, 1], logits.argmax(axis=1)
    expected = {
        "auroc": sk.roc_auc_score(labels, positive),
        "auprc": sk.average_precision_score(labels, positive),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "quadratic_kappa": sk.cohen_kappa_score(labels, predicted, weights="quadratic"),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "top_k:1": sk.accuracy_score(labels, predicted),
        "sensitivity": sensitivity(labels, positive, 0.9),
        "sensitivity:0.6": sensitivity(labels, positive, 0.6),
    }
    for metric, value in expected.items():
        assert value_of("single-label", metric, logits, labels) == (pytest.approx(value), ())


def test_more_classes_are_measured_each_against_the_others() -> None:
    logits, labels = CLASSES
    shares, predicted = softmax(logits), logits.argmax(axis=1)
    flags = np.eye(4)[labels]
    expected = {
        "auroc": sk.roc_auc_score(labels, shares, multi_class="ovr", average="macro"),
        "auprc": sk.average_precision_score(flags, shares, average="macro"),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "quadratic_kappa": sk.cohen_kappa_score(labels, predicted, weights="quadratic"),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "top_k:3": sk.top_k_accuracy_score(labels, shares, k=3),
        "sensitivity:0.8": np.mean([sensitivity(flags[:, i], shares[:, i], 0.8) for i in range(4)]),
    }
    for metric, value in expected.items():
        assert value_of("single-label", metric, logits, labels) == (pytest.approx(value), ())


def test_several_labels_are_measured_label_by_label() -> None:
    logits, labels = SETS
    shares, said = sigmoid(logits), logits >= 0

    def mean(measure: Any) -> float:
        return float(np.mean([measure(labels[:, i], said[:, i]) for i in range(3)]))

    expected = {
        "auroc": sk.roc_auc_score(labels, shares, average="macro"),
        "auprc": sk.average_precision_score(labels, shares, average="macro"),
        "balanced_accuracy": mean(sk.balanced_accuracy_score),
        "quadratic_kappa": mean(sk.cohen_kappa_score),
        "mcc": mean(sk.matthews_corrcoef),
        "sensitivity:0.7": np.mean(
            [sensitivity(labels[:, i], shares[:, i], 0.7) for i in range(3)]
        ),
    }
    for metric, value in expected.items():
        assert value_of("multi-label", metric, logits, labels) == (pytest.approx(value), ())


def test_a_mean_says_which_classes_it_leaves_out() -> None:
    logits, labels = CLASSES
    three = labels % 3  # 'd' has no sample
    shares = softmax(logits)
    expected = np.mean([sk.roc_auc_score(three == i, shares[:, i]) for i in range(3)])
    value, remarks = value_of("single-label", "auroc", logits, three)
    assert value == pytest.approx(expected)
    assert remarks == ("AUROC: left out: 'd', which has no sample",)
    assert value_of("single-label", "balanced_accuracy", logits, three)[1]
    every = SETS[1].copy()
    every[:, 1] = 1
    assert value_of("multi-label", "auprc", SETS[0], every)[1] == (
        "AUPRC: left out: 'b', which is the class of all samples",
    )


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("auroc", "no class has both"),
        ("mcc", "all samples are of one class"),
        ("top_k", "it needs more than 5 classes, and there are 4"),
    ],
)
def test_what_is_undefined_is_refused_before_training_and_never_0(metric: str, why: str) -> None:
    logits, labels = CLASSES[0], np.zeros(90, dtype=np.int64)
    value, remarks = value_of("single-label", metric, logits, labels)
    assert math.isnan(value)
    assert why in remarks[0]
    plain = task_named("single-label")
    with pytest.raises(UsageError, match=f"metric.*{metric}.*{why}"):
        require_defined(
            plain.fitted(labels, find_metric(metric, plain, registry=NONE)), labels, "abcd"
        )


def test_kappa_of_one_class_and_f1_of_none_are_undefined() -> None:
    one = np.zeros(90, dtype=np.int64)
    same = np.zeros((90, 4))
    same[:, 0] = 1
    assert math.isnan(value_of("single-label", "quadratic_kappa", same, one)[0])
    for metric in ("micro_f1", "macro_f1"):
        nothing = np.zeros_like(SETS[1])
        value, remarks = value_of("multi-label", metric, -np.ones_like(SETS[0]), nothing)
        assert math.isnan(value)
        assert "no class occurs or is predicted" in " ".join(remarks)


def test_the_number_of_a_metric_is_part_of_its_name() -> None:
    task = task_named("single-label")
    assert find_metric("top_k", task, registry=NONE).key == "top_k:5"
    chosen = find_metric("sensitivity:0.95", task, registry=NONE)
    assert (chosen.key, chosen.title) == ("sensitivity:0.95", "sensitivity at specificity 0.95")
    assert metrics.title_of("top_k:3") == "top-3 accuracy"
    for wrong in ("top_k:0", "top_k:1.5", "top_k:x", "sensitivity:90"):
        with pytest.raises(UsageError, match=wrong):
            find_metric(wrong, task, registry=NONE)
    with pytest.raises(UsageError, match="takes no number"):
        find_metric("auroc:2", task, registry=NONE)


def test_each_task_has_its_default_and_a_loss() -> None:
    for name in TASKS:
        task = task_named(name)
        assert {task.metric, LOSS} <= set(metrics.metrics_of(task))
