"""A linear head for all strengths at once: the solutions of scikit-learn and of linear algebra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from zoo.engine import linear_fit
from zoo.engine.linear_fit import Fitted, Standardised, fit_linear

STRENGTHS = (100.0, 10.0, 1.0)
GENERATOR = torch.Generator().manual_seed(0)
_NORMAL = torch.randn(90, 6, generator=GENERATOR)
# One feature is large, one is far from 0, and one is constant.
FEATURES = _NORMAL * torch.tensor([1, 5, 1, 1, 0, 1.0]) + torch.tensor([0, 0, 30, 0, 2, 0.0])
SCORES = _NORMAL @ torch.randn(6, 3, generator=GENERATOR)
CLASSES = (SCORES + torch.randn(90, 3, generator=GENERATOR)).argmax(dim=1)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits, targets, reduction="none")


def squared(logits: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (logits - targets).square().sum(dim=1)


def rows(size: int = 90) -> Any:
    def chunks() -> Iterator[Tensor]:
        yield from FEATURES.split(size)  # type: ignore[no-untyped-call]

    return chunks


def fitted(size: int = 90, *, bias: bool = True, **changes: Any) -> list[Fitted]:
    given: dict[str, Any] = {"targets": CLASSES, "loss": cross_entropy, "outputs": 3} | changes
    data = Standardised.of(rows(size), centred=bias)
    return fit_linear(data, bias=bias, strengths=STRENGTHS, **given)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_fit, "ITERATIONS", 200)
    monkeypatch.setattr(linear_fit, "_ENOUGH", 1e-7)
    monkeypatch.setattr(linear_fit, "_LEAST", 0.0)
    monkeypatch.setattr(linear_fit, "_STEEP", 1e-7)


def standard(*, centred: bool = True) -> np.ndarray[Any, Any]:
    shifted = FEATURES - FEATURES.mean(dim=0) * centred
    variance = shifted.square().mean(dim=0)
    return (shifted / (variance + 0.1 * variance.mean()).sqrt()).numpy()


@pytest.mark.usefixtures("exact")
def test_classes_as_scikit_learns_logistic_regression() -> None:
    for strength, (weight, bias, loss) in zip(STRENGTHS, fitted(), strict=True):
        known = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10_000)
        expected = known.fit(standard(), CLASSES).predict_log_proba(standard())
        given = (FEATURES @ weight.T + bias).log_softmax(dim=1)
        np.testing.assert_allclose(given, expected, atol=2e-3)
        assert loss == pytest.approx(-expected[range(90), CLASSES].mean(), rel=1e-3)


@pytest.mark.usefixtures("exact")
def test_values_as_ridge_regression_without_and_with_a_bias() -> None:
    for bias in (False, True):
        inputs = standard(centred=bias)
        found = fitted(targets=SCORES, loss=squared, bias=bias)
        for strength, (weight, offset, _) in zip(STRENGTHS, found, strict=True):
            targets = SCORES.numpy() - (SCORES.mean(dim=0).numpy() if bias else 0)
            square = inputs.T @ inputs + strength * np.eye(6)
            expected = np.linalg.solve(square, inputs.T @ targets)
            given = FEATURES @ weight.T + offset - (SCORES.mean(dim=0) if bias else 0)
            np.testing.assert_allclose(given, inputs @ expected, atol=5e-2)
            assert bool(offset.any()) == bias


def test_chunks_of_rows_and_strengths_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, chunked = fitted(), fitted(size=37)
    monkeypatch.setattr(linear_fit, "_LOGITS", 1)
    for one, *others in zip(whole, chunked, fitted(), strict=True):
        for other in others:
            torch.testing.assert_close(one.loss, other.loss, rtol=1e-3, atol=1e-4)
            outputs = [FEATURES @ head.weight.T + head.bias for head in (one, other)]
            torch.testing.assert_close(
                *(each.softmax(dim=1) for each in outputs), rtol=0, atol=1e-3
            )


def test_a_constant_matrix_gives_the_shares_of_the_classes() -> None:
    data = Standardised.of(lambda: iter([torch.full((90, 4), 3.0)]), centred=True)
    (found,) = fit_linear(data, CLASSES, cross_entropy, outputs=3, bias=True, strengths=(1.0,))
    shares = torch.bincount(CLASSES, minlength=3) / 90
    torch.testing.assert_close(
        (found.weight.sum(dim=1) * 3 + found.bias).softmax(dim=0), shares, atol=1e-2, rtol=0
    )


def test_what_is_not_finite_ends_at_once_and_is_seen_in_the_loss() -> None:
    FEATURES[3, 2], kept = torch.nan, FEATURES[3, 2].clone()
    counted = list[int]()
    try:
        found = fitted(check=lambda: counted.append(1))
    finally:
        FEATURES[3, 2] = kept
    assert not any(torch.isfinite(head.loss) for head in found)
    assert len(counted) == linear_fit.READ_EVERY


def test_it_can_be_stopped_between_iterations() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fitted(check=stop)
