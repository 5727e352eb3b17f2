"""Losses: their values and gradients on predictions that are right and wrong."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from zoo.contract.extensions import LossSpec
from zoo.registry.offers import Offer
from zoo.tasks.losses import Loss, LossOptions
from zoo.testing.checks.base import TOLERANCE
from zoo.testing.offered.labels import Labelled, labelled

OPTIONS = {"class_weights": True, "focal": 2.0, "label_smoothing": 0.1}
"""A value of each option that a loss may support."""


def check_loss(offer: Offer[LossSpec]) -> None:
    """Compute a loss and its gradient for each of its tasks; raises where it cannot be trained."""
    for task in offer.value.tasks:
        for outputs in (2, 3):
            given = labelled(task, outputs)
            _check(offer, given, LossOptions(chosen=offer))
            for option in offer.value.options:
                assert option in OPTIONS, f"{offer}: there is no option called {option!r}"
                _check(offer, given, LossOptions(chosen=offer, **{option: OPTIONS[option]}))  # type: ignore[arg-type]


def _check(offer: Offer[LossSpec], given: Labelled, options: LossOptions) -> None:
    loss = given.task.loss(given.labels, options)
    targets = given.task.targets(torch.from_numpy(given.labels))
    values = {}
    for what, logits in (
        ("right", given.right),
        ("wrong", given.wrong),
        ("random", given.random(1)),
    ):
        values[what] = _trained(
            offer, loss, logits, targets, f"{what} predictions on {given.in_words}"
        )
    assert values["right"] < values["wrong"], (
        f"{offer}: {values['right']:.4g} for right predictions on {given.in_words}, not lower than "
        f"{values['wrong']:.4g} for wrong ones"
    )
    if targets.ndim == 1:
        _check_shares(offer, loss, given.random(1), targets)


def _trained(
    offer: Offer[LossSpec], loss: Loss, logits: Tensor, targets: Tensor, what: str
) -> float:
    """The mean loss, which is finite and has a finite gradient."""
    logits = logits.clone().requires_grad_()
    mean = loss(logits, targets).mean()
    assert mean.isfinite(), f"{offer}: {mean.item()} for {what}"
    assert mean.requires_grad, f"{offer}: no gradient reaches the logits"
    (gradient,) = torch.autograd.grad(mean, logits, allow_unused=True)
    assert gradient is not None, f"{offer}: no gradient reaches the logits"
    assert gradient.isfinite().all(), f"{offer}: the gradient is not finite for {what}"
    assert gradient.any() or not what.startswith("random"), f"{offer}: the gradient is 0 for {what}"
    return float(mean.detach())


def _check_shares(offer: Offer[LossSpec], loss: Loss, logits: Tensor, targets: Tensor) -> None:
    """``--mixup`` gives shares of classes: those of a whole class are the class."""
    shares = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    same = torch.allclose(loss(logits, shares), loss(logits, targets), atol=TOLERANCE)
    assert same, (
        f"{offer}: another value for shares (B, classes), as of --mixup, than for classes (B,)"
    )
