"""What outputs mean: targets, metrics and decoding of each task."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from zoo.data.samples import LabelArray, Samples, Splits
from zoo.data.sequences import Listed
from zoo.errors import RunError, UsageError
from zoo.modalities import TEXT
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.runs.predictions import predictions_of
from zoo.tasks import TASKS, task_from_json, task_named
from zoo.tasks.metrics import find_metric, formatted, main_metric, metrics_of, own_metric
from zoo.tasks.multi_label import MultiLabel
from zoo.tasks.regression import Regression
from zoo.tasks.single_label import SingleLabel
from zoo.tasks.task import Task

GENERATOR = np.random.default_rng(0)
LOGITS = torch.from_numpy(GENERATOR.normal(size=(60, 4)).astype(np.float32))
FLAGS = (GENERATOR.random((60, 4)) < (0.5, 0.2, 0.1, 0.0)).astype(np.float32)  # the last: never
NUMBERS = np.stack([GENERATOR.normal(1000, 50, 60), GENERATOR.normal(-2, 0.5, 60)], axis=1).astype(
    np.float32
)
CLASSES = ("a", "b", "c", "d")
NONE = Registry((), Policy(), Index())


def splits(task: str, labels: LabelArray) -> Splits:
    texts = tuple(f"text {i}" for i in range(len(labels)))
    samples = Samples(TEXT, Listed(texts, texts), labels)
    return Splits(TEXT, CLASSES, samples, samples, None, "", "", task=task)


def task_of(data: Splits, metric: str | None = None, *, rare: bool = False) -> Task:
    assert data.train.labels is not None
    task = task_named(data.task)
    return task.fitted(
        data.train.labels, find_metric(metric, task, registry=NONE) if metric else None, rare=rare
    )


# -- several labels ----------------------------------------------------------------------------


def test_metrics_of_several_labels_are_scikit_learn_s() -> None:
    metrics = MultiLabel().compute_metrics(LOGITS, FLAGS)
    chances = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    predicted = chances >= 0.5
    occurs = FLAGS[:, :3]
    assert metrics["map"] == pytest.approx(sk.average_precision_score(occurs, chances[:, :3]))
    assert metrics["micro_f1"] == pytest.approx(sk.f1_score(FLAGS, predicted, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(
        sk.f1_score(FLAGS, predicted, average="macro", zero_division=0)
    )
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(FLAGS, predicted))
    entropy = -np.where(FLAGS > 0, np.log(chances), np.log(1 - chances)).mean()
    assert metrics["loss"] == pytest.approx(entropy)


def test_metrics_of_several_labels_agree_with_a_count_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0], [1.0, 1.0], [-1.0, -2.0], [3.0, -3.0]])
    labels = np.array([[1, 0], [0, 1], [0, 0], [1, 1]], dtype=np.float32)
    result = MultiLabel().evaluation(logits, labels, ["x", "y"])
    assert result.metrics["accuracy"] == 0.5  # the first and the third
    x, y = result.per_class["x"], result.per_class["y"]
    assert (x["precision"], x["recall"], x["support"]) == (pytest.approx(2 / 3), 1.0, 2)
    assert (y["precision"], y["recall"], y["support"]) == (1.0, 0.5, 2)
    # By output, y is true, false, false, true: precision 1 at the first, 2/4 at the last.
    assert (x["average_precision"], y["average_precision"]) == (1.0, 0.75)
    assert result.metrics["map"] == 0.875
    assert result.metrics["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert result.metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert (result.samples, result.confusion) == (4, None)
    assert "confusion" not in result.to_json()


def test_classes_that_neither_occur_nor_are_predicted_count_for_nothing() -> None:
    logits = torch.tensor([[5.0, -5.0], [-5.0, -5.0]])
    labels = np.array([[1, 0], [0, 0]], dtype=np.float32)
    metrics = MultiLabel().compute_metrics(logits, labels)
    assert (metrics["map"], metrics["macro_f1"]) == (1.0, 1.0)
    rows = MultiLabel().evaluation(logits, labels, ["x", "y"]).per_class
    assert rows["y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_a_single_tag_is_not_a_pair_of_classes() -> None:
    logits = torch.tensor([[5.0], [-5.0], [5.0]])
    labels = np.array([[1], [0], [0]], dtype=np.float32)
    result = MultiLabel().evaluation(logits, labels, ["spam"])
    row = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1, "average_precision": 0.5}
    assert result.per_class["spam"] == pytest.approx(row)
    assert result.metrics["macro_f1"] == pytest.approx(2 / 3)


def test_without_any_label_map_is_undefined_and_says_so() -> None:
    result = MultiLabel().evaluation(LOGITS, np.zeros_like(FLAGS), CLASSES)
    assert [key for key, value in result.metrics.items() if math.isnan(value)] == ["map"]
    assert result.notes == ("mAP: undefined: no sample has a class",)


# -- numbers -----------------------------------------------------------------------------------


def test_numbers_are_trained_on_standardised_and_come_out_in_their_units() -> None:
    task = task_of(splits("regression", NUMBERS))
    targets = task.targets(torch.from_numpy(NUMBERS))
    assert targets.dtype == torch.float32
    assert targets.mean(dim=0).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert targets.std(dim=0, correction=0).tolist() == pytest.approx([1, 1], abs=1e-4)
    assert task.decode(targets) == pytest.approx(NUMBERS, abs=1e-3)


def test_metrics_of_numbers_are_scikit_learn_s_in_the_user_s_units() -> None:
    task = task_of(splits("regression", NUMBERS))
    logits = LOGITS[:, :2]
    predicted = task.decode(logits)
    result = task.evaluation(logits, NUMBERS, ["price", "gap"])
    for place, name in enumerate(("price", "gap")):
        truth, given = NUMBERS[:, place].astype(np.float64), predicted[:, place]
        assert result.per_class[name] == pytest.approx(
            {
                "mae": sk.mean_absolute_error(truth, given),
                "rmse": sk.mean_squared_error(truth, given) ** 0.5,
                "r2": sk.r2_score(truth, given),
            }
        )
    for key in ("mae", "rmse", "r2"):
        rows = [row[key] for row in result.per_class.values()]
        assert result.metrics[key] == pytest.approx(np.mean(rows))
    errors = (predicted - NUMBERS) / NUMBERS.astype(np.float64).std(axis=0)
    assert result.metrics["loss"] == pytest.approx((errors**2).mean())


def test_r2_of_one_sample_is_undefined_and_says_so() -> None:
    task = Regression(mean=(0.0,), std=(1.0,))
    result = task.evaluation(torch.tensor([[2.0]]), np.array([[2]], dtype=np.float32), ["price"])
    assert math.isnan(result.metrics["r2"])
    assert result.notes == ("R²: undefined: the true values do not vary",)
    assert formatted({"r2": result.metrics["r2"]}) == "R² undefined"


def test_no_column_of_numbers_outweighs_another_by_its_units() -> None:
    task = Regression(mean=(0.0, 0.0), std=(1000.0, 1.0))
    labels = np.zeros((2, 2), dtype=np.float32)
    poor = task.compute_metrics(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), labels)
    good = task.compute_metrics(torch.tensor([[0.1, 0.0], [0.1, 0.0]]), labels)
    assert good["rmse"] > poor["rmse"]
    assert task.score(good) > task.score(poor)


# -- all of them -------------------------------------------------------------------------------

EVERY = [
    (SingleLabel(), LOGITS, np.arange(60) % 4),
    (MultiLabel(), LOGITS, FLAGS),
    (Regression(mean=(1000.0, -2.0), std=(50.0, 0.5)), LOGITS[:, :2], NUMBERS),
]


@pytest.mark.parametrize(("task", "logits", "labels"), EVERY, ids=lambda x: getattr(x, "name", ""))
def test_better_outputs_have_a_better_score(task, logits, labels) -> None:
    targets = task.targets(torch.from_numpy(labels))
    ideal = torch.nn.functional.one_hot(targets, 4) * 9.0 if labels.ndim == 1 else targets.float()
    if task.name == "multi-label":
        ideal = ideal * 18 - 9
    best, poor = (task.score(task.compute_metrics(given, labels)) for given in (ideal, logits))
    assert best > poor


@pytest.mark.parametrize(("task", "logits", "labels"), EVERY, ids=lambda x: getattr(x, "name", ""))
def test_a_task_survives_the_run_s_record(task, logits, labels) -> None:
    assert task_from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(("task", "logits", "labels"), EVERY, ids=lambda x: getattr(x, "name", ""))
def test_computed_metrics_equal_those_of_the_evaluation(task, logits, labels) -> None:
    result = task.evaluation(logits, labels, CLASSES[: logits.shape[1]])
    assert result.metrics == task.compute_metrics(logits, labels)
    assert result.samples == 60
    assert json.loads(json.dumps(result.to_json()))["samples"] == 60


@pytest.mark.parametrize(
    "task", [SingleLabel(), MultiLabel(), Regression(mean=(0.0,) * 4, std=(1.0,) * 4)]
)
def test_outputs_that_are_no_numbers_have_metrics_that_are_none(task) -> None:
    broken = LOGITS.clone()
    broken[3, 2] = torch.inf
    assert all(math.isnan(value) for value in task.compute_metrics(broken, FLAGS).values())
    broken[3, 2] = torch.nan
    assert math.isnan(task.value(task.decode(broken), FLAGS, ["a", "b", "c", "d"]))


def test_the_task_is_that_of_the_data() -> None:
    assert task_of(splits("single-label", np.arange(4))) == SingleLabel()
    assert task_of(splits("multi-label", FLAGS)) == MultiLabel()


# 190 good parts and 10 defects: one epoch finds no defect, the other finds 9 for 20 false alarms.
PARTS = np.array([0] * 190 + [1] * 10)
BLIND, ALERT = (
    torch.nn.functional.one_hot(torch.from_numpy(said), 2) * 2.0
    for said in (np.zeros(200, int), np.array([0] * 170 + [1] * 20 + [0] + [1] * 9))
)


def test_where_rare_classes_are_to_count_an_epoch_that_finds_them_is_kept() -> None:
    def keeps(task):
        scores = [task.score(task.compute_metrics(logits, PARTS)) for logits in (BLIND, ALERT)]
        return ("blind", "alert")[scores[1] > scores[0]]

    data = splits("single-label", PARTS)
    assert keeps(task_of(data)) == "blind"
    assert keeps(task_of(data, rare=True)) == "alert"
    assert keeps(task_of(data, "accuracy", rare=True)) == "blind"
    assert keeps(task_of(data, "macro_f1")) == "alert"
    metrics = task_of(data, rare=True).compute_metrics(ALERT, PARTS)
    assert metrics["balanced_accuracy"] == pytest.approx((170 / 190 + 9 / 10) / 2)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    labels = np.arange(60) % 3  # the fourth class never occurs, and is predicted
    predicted = LOGITS.argmax(dim=1).numpy()
    metrics = SingleLabel(own_metric("balanced_accuracy")).compute_metrics(LOGITS, labels)
    recalls = [(predicted[labels == k] == k).mean() for k in range(3)]
    assert metrics["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert next(iter(metrics)) == main_metric(metrics, "balanced_accuracy") == "balanced_accuracy"


METRICS = [(task, metric) for task in TASKS for metric in metrics_of(task_named(task))]


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_each_metric_ranks_epochs_in_its_own_direction(name, metric) -> None:
    logits, labels = {task.name: (logits, labels) for task, logits, labels in EVERY}[name]
    task = task_of(splits(name, labels), {"top_k": "top_k:2"}.get(metric, metric))
    metric = task.metric
    targets = task.targets(torch.from_numpy(labels))
    ideal = torch.nn.functional.one_hot(targets, 4) * 9.0 if labels.ndim == 1 else targets.float()
    if name == "multi-label":
        ideal = ideal * 18 - 9
    best, poor = (task.compute_metrics(given, labels) for given in (ideal, logits))
    assert (best[metric] > poor[metric]) is (metric not in ("loss", "mae", "rmse"))
    assert task.score(best) > task.score(poor)
    assert task_from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    ("name", "labels", "metric"),
    [
        ("single-label", PARTS, "map"),
        ("multi-label", FLAGS, "top_k"),
        ("regression", NUMBERS, "accuracy"),
    ],
)
def test_a_metric_of_another_task_is_refused_with_those_of_this_one(name, labels, metric) -> None:
    with pytest.raises(UsageError, match=f"metric.*'{metric}'.*{name}") as error:
        task_of(splits(name, labels), metric)
    assert all(known in error.value.hint for known in metrics_of(task_named(name)))


def test_a_task_of_a_later_zoo_is_refused() -> None:
    with pytest.raises(RunError, match="'ranking'") as error:
        task_from_json({"name": "ranking"})
    assert "Upgrade" in error.value.hint


def test_metrics_have_names() -> None:
    assert main_metric({"loss": 1, "map": 1, "accuracy": 1}) == "map"
    assert main_metric({"loss": 1, "accuracy": 1, "macro_f1": 1}) == "accuracy"
    assert formatted({"r2": 0.5, "macro_f1": 1.0}) == "R² 0.5000, macro F1 1.0000"


# -- predictions -------------------------------------------------------------------------------


def test_predictions_say_what_the_task_means() -> None:
    texts = Samples(TEXT, Listed(("one", ("two", "three")), ("1", "2")))
    outputs = np.array([[0.25, 0.75], [0.625, 0.375]])

    def said(task: str, threshold: float = 0.5) -> list[dict[str, object]]:
        made = predictions_of(task_named(task), texts, outputs, ("a", "b"), threshold=threshold)
        return [each.to_json() for each in made]

    chances = [{"b": 0.75, "a": 0.25}, {"a": 0.625, "b": 0.375}]
    assert said("single-label") == [
        {"input": "one", "label": "b", "probabilities": chances[0]},
        {"input": ["two", "three"], "label": "a", "probabilities": chances[1]},
    ]
    assert list(said("single-label")[0]["probabilities"]) == ["b", "a"]  # type: ignore[call-overload]
    assert [row["labels"] for row in said("multi-label")] == [["b"], ["a"]]
    assert [row["labels"] for row in said("multi-label", 0.75)] == [["b"], []]
    assert said("regression")[0] == {"input": "one", "values": {"a": 0.25, "b": 0.75}}
