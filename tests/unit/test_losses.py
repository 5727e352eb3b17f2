"""Losses: what they agree with, what weights, smoothing and the focal factor do, what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from zoo.errors import UsageError, in_python
from zoo.registry.index import Index
from zoo.registry.policy import Policy
from zoo.registry.registry import Registry
from zoo.tasks import task_named
from zoo.tasks.losses import (
    MAX_POSITIVE_WEIGHT,
    LossOptions,
    balanced_weights,
    find_loss,
    positive_weights,
)

CLASSES = np.array([0, 0, 0, 0, 0, 1, 1, 2])
LABELS = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=np.float32)


def logits(rows: int = 6, classes: int = 3) -> torch.Tensor:
    return 2 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(0))


INDICES = torch.tensor([0, 1, 2, 2, 1, 0])
SHARES = torch.tensor(
    [[0.5, 0.5, 0.0], [1.0, 0, 0], [0, 0.2, 0.8], [0, 0, 1.0], [0.1, 0.9, 0], [0, 1.0, 0]]
)
ANSWERS = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0.3, 1, 0], [1, 1, 1], [0, 0.5, 0], [0, 0, 1]])


def single(**options) -> torch.nn.Module:
    return task_named("single-label").loss(CLASSES, LossOptions(**options))


def multi(**options) -> torch.nn.Module:
    return task_named("multi-label").loss(LABELS, LossOptions(**options))


@pytest.mark.parametrize("targets", [INDICES, SHARES], ids=["indices", "shares"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_gamma_it_is_torchs_cross_entropy_to_the_bit(targets, smoothing, weighted):
    weight = balanced_weights(CLASSES) if weighted else None
    expected = functional.cross_entropy(
        logits(), targets, weight=weight, label_smoothing=smoothing, reduction="none"
    )
    loss = single(class_weights=weighted, label_smoothing=smoothing)(logits(), targets)
    assert torch.equal(loss, expected)
    assert loss.shape == (6,)


def test_without_gamma_it_is_torchs_binary_cross_entropy_to_the_bit():
    for weighted in (False, True):
        weight = positive_weights(LABELS) if weighted else None
        expected = functional.binary_cross_entropy_with_logits(
            logits(), ANSWERS, pos_weight=weight, reduction="none"
        ).mean(dim=1)
        assert torch.equal(multi(class_weights=weighted)(logits(), ANSWERS), expected)


def test_the_focal_factor_is_that_of_the_paper():
    p = logits().softmax(dim=1)[torch.arange(6), INDICES]
    assert torch.allclose(single(focal=2.0)(logits(), INDICES), -((1 - p) ** 2) * p.log())
    q = torch.where(ANSWERS.round() == 1, logits().sigmoid(), 1 - logits().sigmoid())
    expected = (-((1 - q) ** 2) * q.log()).mean(dim=1)
    assert torch.allclose(multi(focal=2.0)(logits(), ANSWERS.round()), expected)


@pytest.mark.parametrize("make", [single, multi])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_gamma_next_to_nothing_is_next_to_no_gamma(make, weighted, smoothing):
    targets = ANSWERS if make is multi else SHARES
    options = {"class_weights": weighted, "label_smoothing": smoothing}
    plain, focal = (make(focal=gamma, **options)(logits(), targets) for gamma in (0.0, 1e-6))
    assert torch.allclose(plain, focal, atol=1e-4)
    assert not torch.allclose(plain, make(focal=1.0, **options)(logits(), targets), atol=1e-2)


@pytest.mark.parametrize("gamma", [0.0, 1.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixed_target_is_the_mixed_loss(gamma, smoothing):
    loss = single(focal=gamma, label_smoothing=smoothing, class_weights=True)
    other = INDICES.flip(0)
    mixed = 0.3 * functional.one_hot(INDICES, 3) + 0.7 * functional.one_hot(other, 3)
    expected = 0.3 * loss(logits(), INDICES) + 0.7 * loss(logits(), other)
    assert torch.allclose(loss(logits(), mixed), expected, rtol=1e-5)


def test_smoothing_of_several_labels_draws_each_answer_towards_a_half():
    smoothed = multi(label_smoothing=0.2)(logits(), ANSWERS)
    assert torch.allclose(smoothed, multi()(logits(), 0.8 * ANSWERS + 0.1))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("scale", [100.0, 1e5])
def test_outputs_that_are_very_sure_have_finite_gradients(gamma, scale):
    for make, targets in ((single, INDICES), (multi, ANSWERS.round())):
        sure = (scale * logits()).requires_grad_()
        make(focal=gamma, class_weights=True)(sure, targets).sum().backward()
        assert sure.grad.isfinite().all()


def test_logits_of_half_precision_give_float32():
    half = logits().bfloat16()
    for loss in (single(), single(focal=1.0)):
        assert torch.equal(loss(half, INDICES), loss(half.float(), INDICES))
        assert loss(half, INDICES).dtype == torch.float32


def test_class_weights_are_those_of_scikit_learn_with_mean_one():
    weights = balanced_weights(CLASSES)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=CLASSES)
    assert np.allclose(weights.numpy(), expected)
    assert weights[CLASSES].mean() == pytest.approx(1)


def test_a_class_without_samples_weighs_one():
    weights = balanced_weights(np.array([0, 2, 2]), outputs=4)
    assert weights.tolist() == [1.5, 1.0, 0.75, 1.0]
    loss = task_named("single-label").loss(CLASSES, LossOptions(outputs=5, class_weights=True))
    assert loss(logits(classes=5), INDICES).isfinite().all()


def test_positive_weights_count_negative_samples_and_stay_within_bounds():
    assert positive_weights(LABELS).tolist() == pytest.approx([0.01, 3.0, 3.0])
    rare = np.zeros((1_000, 2))
    rare[0, 0] = 1
    assert positive_weights(rare).tolist() == [MAX_POSITIVE_WEIGHT] * 2


def test_weights_move_with_the_loss():
    loss = single(class_weights=True).to("meta")
    assert loss.weights.is_meta
    assert task_named("regression").loss(np.zeros((2, 1))).weights is None


def test_regression_is_the_squared_error_averaged_over_the_numbers_of_a_sample():
    loss = task_named("regression").loss(np.zeros((2, 2)))
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [1, 1]])
    assert loss(outputs, targets).tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"class_weights": True}, "--class-weights"),
        ({"focal": 2.0}, "--focal 2"),
        ({"label_smoothing": 0.1}, "--label-smoothing 0.1"),
    ],
)
def test_regression_has_no_classes_to_weigh(options, named):
    with pytest.raises(UsageError, match=in_python(named)) as error:
        task_named("regression").loss(np.zeros((2, 1)), LossOptions(**options))
    assert named.split()[0] in str(error.value.hint)


def test_every_loss_is_what_its_name_says():
    def loss(name, labels, task, **options):
        chosen = find_loss(name, task)
        return task.loss(labels, LossOptions(chosen=chosen, **options))

    single, several = task_named("single-label"), task_named("regression")
    p = logits().softmax(dim=1)[torch.arange(6), INDICES]
    robust = loss("generalized-cross-entropy", CLASSES, single)
    assert torch.allclose(robust(logits(), INDICES), (1 - p**0.7) / 0.7)
    mixed = functional.one_hot(INDICES, 3).float()
    assert torch.allclose(robust(logits(), mixed), robust(logits(), INDICES))
    weighted = loss("generalized-cross-entropy", CLASSES, single, class_weights=True)
    factors = balanced_weights(CLASSES)[INDICES]
    assert torch.allclose(weighted(logits(), INDICES), factors * (1 - p**0.7) / 0.7)
    outputs, targets = torch.tensor([[0.5, 3.0]]), torch.tensor([[0.0, 0.0]])
    values = np.zeros((1, 2))
    assert loss("absolute-error", values, several)(outputs, targets).tolist() == [1.75]
    assert loss("huber", values, several)(outputs, targets).tolist() == [1.3125]


def test_a_loss_of_another_task_is_refused_with_those_of_this_one():
    with pytest.raises(UsageError, match=r"loss 'huber'.*single-label") as error:
        find_loss("huber", task_named("single-label"), registry=Registry((), Policy(), Index()))
    assert "generalized-cross-entropy" in str(error.value.hint)
