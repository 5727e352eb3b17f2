"""DP-SGD on a linear head: clipped gradients of single samples, and the noise for an epsilon."""

from __future__ import annotations

import importlib.util
import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from zoo.engine.privacy import _least_noise, make_privacy, require_opacus
from zoo.engine.private_head import SecretNoise, clipped_sum
from zoo.engine.recipe import Recipe
from zoo.errors import UsageError

RECIPE = Recipe.default("image", pretrained=True, strategy="probe")


@pytest.mark.parametrize("most", [0.4, 1e9])
def test_the_sum_of_gradients_is_that_of_samples_clipped_one_by_one(most: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 5, generator=generator)
    targets, state = torch.arange(12) % 3, torch.randn(3, 6, generator=generator)
    found = clipped_sum(rows, targets, state, loss=nn.CrossEntropyLoss(reduction="none"), most=most)
    expected = torch.zeros(3, 6)
    for row, target in zip(rows, targets, strict=True):
        leaf = state.clone().requires_grad_()
        logits = leaf[:, :-1] @ row + leaf[:, -1]
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, target), leaf)
        expected += gradient * min(1.0, most / float(gradient.norm()))
    torch.testing.assert_close(found, expected)


def test_noise_comes_from_a_secret_key_that_a_checkpoint_restores() -> None:
    first, second = SecretNoise(), SecretNoise()
    drawn = first.of(3, 1).standard_normal(4).tolist()
    assert drawn != second.of(3, 1).standard_normal(4).tolist()
    assert drawn != first.of(4, 1).standard_normal(4).tolist()
    second.load(first.tensor())
    assert drawn == second.of(3, 1).standard_normal(4).tolist()


def test_the_noise_of_one_step_over_all_samples_is_that_of_the_gaussian_mechanism() -> None:
    pytest.importorskip("opacus", reason="the extra 'private' is not installed")
    recipe = RECIPE.changed(private=1.0, private_delta=1e-5, epochs=1, batch_size=1000)
    privacy = make_privacy(recipe, 1000)
    assert (privacy.sampling_rate, privacy.steps, privacy.clipping_norm) == (1, 1, 1)
    noise = privacy.noise_multiplier
    # Balle and Wang 2018, arXiv:1805.06530, theorem 5.
    delta = norm.cdf(0.5 / noise - noise) - math.e * norm.cdf(-0.5 / noise - noise)
    assert delta <= 1e-5  # at least as private as stated
    assert noise == pytest.approx(3.73, abs=0.08)


def test_an_epsilon_without_any_noise_that_is_enough_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="no noise"):
        _least_noise(lambda _noise: 5.0, 1.0, 1.0)
    pytest.importorskip("opacus", reason="the extra 'private' is not installed")
    monkeypatch.setattr("zoo.engine.privacy._TRIES", 0)
    with pytest.raises(UsageError, match=r"a delta of 1e-05 in 25 steps"):
        make_privacy(RECIPE.changed(private=1.0, epochs=25, batch_size=10_000), 10_000)


def test_delta_must_be_below_one_divided_by_the_samples() -> None:
    with pytest.raises(UsageError, match=r"below 0\.01.*got 0\.01"):
        make_privacy(RECIPE.changed(private=1.0, private_delta=0.01), 100)


def test_without_opacus_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError) as caught:
        require_opacus()
    assert "zoo-finetune[private]" in caught.value.hint
