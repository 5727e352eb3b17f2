"""Per-sample losses with class weights, focal loss and label smoothing.

A loss returns ``(B,)`` and leaves the mean to the training loop, so that samples weigh the same
however a batch is divided into micro-batches or among processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from zoo.contract.extensions import LossSpec, imported
from zoo.errors import NameLookupError, UsageError, did_you_mean
from zoo.registry.offers import Offer, OfferKind, usable
from zoo.registry.registry import Registry
from zoo.tasks.kinds import Kinds, in_words

Formula = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""From logits ``(B, outputs)``, targets and weights ``(outputs,)`` to losses ``(B,)``."""

_HERE = "zoo.tasks.losses"

LOSS = OfferKind(
    noun="loss", plural="losses", hook="zoo_losses", holds=LossSpec, training_only=True
)

LOSSES: dict[str, LossSpec] = {
    "cross-entropy": LossSpec(
        formula=f"{_HERE}:cross_entropy",
        tasks=("single-label",),
        options=("class_weights", "focal", "label_smoothing"),
    ),
    "generalized-cross-entropy": LossSpec(
        formula=f"{_HERE}:generalized_cross_entropy",
        tasks=("single-label",),
        options=("class_weights",),
    ),
    "binary-cross-entropy": LossSpec(
        formula=f"{_HERE}:binary_cross_entropy",
        tasks=("multi-label",),
        options=("class_weights", "focal", "label_smoothing"),
    ),
    "squared-error": LossSpec(formula=f"{_HERE}:squared_error", tasks=("regression",)),
    "absolute-error": LossSpec(formula=f"{_HERE}:absolute_error", tasks=("regression",)),
    "huber": LossSpec(formula=f"{_HERE}:huber", tasks=("regression",)),
}
"""zoo's own losses."""

_POWER = 0.7  # of generalized cross-entropy, as in the paper

MAX_POSITIVE_WEIGHT = 100.0
"""The largest weight of positive samples of a label. Beyond it, single positive samples, mislabelled
or not, would dominate."""


class Loss(nn.Module):
    """From logits ``(B, outputs)`` and targets to per-sample losses: ``(B,)``, float32.

    A module, so that its weights move to a device with it.

    Args:
        formula: The loss function.
        weights: ``(outputs,)``, float32; ``None`` if all classes weigh the same.
        offer: Where the formula comes from.
    """

    weights: Tensor | None

    def __init__(self, formula: Formula, weights: Tensor | None, offer: Offer[LossSpec]) -> None:
        super().__init__()
        self._formula, self._offer = formula, offer
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Targets are as :meth:`zoo.tasks.Task.loss` says; logits of lower precision become float32."""
        losses: Tensor = self._offer.call(self._formula, logits.float(), targets, self.weights)
        if losses.shape != logits.shape[:1]:
            raise self._offer.broken(
                f"its {self._offer} returned a tensor of shape {tuple(losses.shape)} for "
                f"{len(logits)} samples, expected ({len(logits)},)"
            )
        return losses


# -- weights -----------------------------------------------------------------------------------


def balanced_weights(labels: NDArray[Any], outputs: int | None = None) -> Tensor:
    """``N / (K n_c)`` for a class with ``n_c`` of ``N`` samples where ``K`` classes occur.

    King and Zeng 2001, "Logistic regression in rare events data", and scikit-learn's
    ``balanced``. The mean over the samples is 1, so the learning rate keeps its meaning. A class
    without samples gets 1.

    Args:
        labels: ``(N,)`` class indices.
        outputs: Number of classes; by default from the labels.
    """
    counts = np.bincount(labels, minlength=outputs or 0)
    occurring = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (occurring * np.maximum(counts, 1)), 1.0)
    return torch.from_numpy(weights).float()


def positive_weights(labels: NDArray[Any]) -> Tensor:
    """The ratio of negative to positive samples of each class, to balance the two.

    As recommended for ``pos_weight`` of ``BCEWithLogitsLoss``; clipped to between 1 /
    :data:`MAX_POSITIVE_WEIGHT` and :data:`MAX_POSITIVE_WEIGHT`, so that classes with no or only
    positive samples stay finite.

    Args:
        labels: ``(N, C)`` of 0 and 1.
    """
    positive = labels.sum(axis=0, dtype=np.float64)
    ratio = (len(labels) - positive) / np.maximum(positive, 1)
    bounded = np.clip(ratio, 1 / MAX_POSITIVE_WEIGHT, MAX_POSITIVE_WEIGHT)
    return torch.from_numpy(bounded).float()


# -- formulas ----------------------------------------------------------------------------------


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    *,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-sum_c w_c q_c (1 - p_c)^focal log p_c``, where ``q`` is the smoothed target: ``(B,)``."""
    if not focal:
        return functional.cross_entropy(
            logits, targets, weight=weights, label_smoothing=label_smoothing, reduction="none"
        )
    classes = logits.shape[1]
    shares = functional.one_hot(targets, classes) if targets.ndim == 1 else targets  # (B, C)
    shares = shares * (1 - label_smoothing) + label_smoothing / classes
    log_p = logits.log_softmax(dim=1)
    # At 0 the power would have an infinite gradient for a gamma below 1.
    rest = -log_p.expm1().clamp(max=-torch.finfo(log_p.dtype).tiny)  # 1 - p, exact near p = 1
    terms = -shares * rest**focal * log_p
    return (terms if weights is None else terms * weights).sum(dim=1)


def generalized_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """``sum_c w_c q_c (1 - p_c^0.7) / 0.7``, less sensitive to wrong labels than cross-entropy.

    Zhang and Sabuncu 2018, arXiv:1805.07836: ``(B,)``.
    """
    shares = functional.one_hot(targets, logits.shape[1]) if targets.ndim == 1 else targets
    terms = shares * (1 - (_POWER * logits.log_softmax(dim=1)).exp()) / _POWER  # (B, C)
    return (terms if weights is None else terms * weights).sum(dim=1)


def binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    *,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Of each class ``-w q (1 - p)^focal log p - (1 - q) p^focal log(1 - p)``; the mean: ``(B,)``."""
    shares = targets * (1 - label_smoothing) + label_smoothing / 2  # (B, C)
    if not focal:
        losses = functional.binary_cross_entropy_with_logits(
            logits, shares, pos_weight=weights, reduction="none"
        )
        return losses.mean(dim=1)
    log_p, log_rest = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive = -shares * (focal * log_rest).exp() * log_p
    negative = -(1 - shares) * (focal * log_p).exp() * log_rest
    weighted = positive if weights is None else positive * weights
    return (weighted + negative).mean(dim=1)


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error over the targets of each sample: ``(B,)``."""
    del weights  # there are no classes
    return functional.mse_loss(outputs, targets.float(), reduction="none").mean(dim=1)


def absolute_error(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean absolute error over the targets of each sample: ``(B,)``."""
    del weights
    return functional.l1_loss(outputs, targets.float(), reduction="none").mean(dim=1)


def huber(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared up to one standard deviation, absolute beyond (Huber 1964): ``(B,)``."""
    del weights
    return functional.huber_loss(outputs, targets.float(), reduction="none").mean(dim=1)


# -- choice ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Options of the training loss; see :meth:`zoo.tasks.task.Task.loss`.

    The target is smoothed first; weights and the focal factor then apply per class.

    Attributes:
        chosen: The loss; by default the task's own.
        outputs: Number of classes, if the last ones may have no training sample.
        class_weights: Weigh rare classes more. Combined with balanced sampling, this corrects
            twice.
        focal: Gamma of the focal loss, at least 0: a predicted probability ``p`` weighs
            ``(1 - p) ** gamma`` (Lin et al. 2017, arXiv:1708.02002), for mixed or smoothed
            targets per class. 0 is cross-entropy.
        label_smoothing: Share of the target, in [0, 1), that is spread evenly over all
            classes (Szegedy et al. 2016, arXiv:1512.00567), or for multi-label over yes and no
            of each class.
    """

    chosen: Offer[LossSpec] | None = None
    outputs: int | None = None
    class_weights: bool = False
    focal: float = 0.0
    label_smoothing: float = 0.0

    def loss(self, task: Kinds, weights: Callable[[], Tensor | None]) -> Loss:
        """The training loss.

        Args:
            task: The task.
            weights: Makes the class weights, ``(outputs,)``, if they are requested.

        Raises:
            UsageError: The loss does not support an option.
            PluginError: Its formula cannot be imported.
        """
        chosen = self.chosen or find_loss(task.usual_loss, task)
        given = {name: value for name in OPTIONS if (value := getattr(self, name))}
        for name in given:
            if name not in chosen.value.options:
                typed = f"--{name.replace('_', '-')}"
                value = "" if given[name] is True else f" {given[name]:g}"
                raise UsageError(
                    f"{typed}{value} is not supported by the {chosen} of {task.name} data",
                    hint=f"Remove {typed}.",
                )
        named = {name: value for name, value in given.items() if name != "class_weights"}
        formula = partial(chosen.call(imported, chosen.value.formula), **named)
        return Loss(formula, weights() if self.class_weights else None, chosen)


OPTIONS = ("class_weights", "focal", "label_smoothing")
"""The fields of :class:`LossOptions` that a loss may or may not support."""

PLAIN_LOSS = LossOptions()
"""The task's own loss without options."""


def find_loss(name: str, *tasks: Kinds, registry: Registry | None = None) -> Offer[LossSpec]:
    """The loss of that name: zoo's own, or a plugin's.

    Args:
        name: Bare, or ``plugin/name``.
        tasks: The task; several while the data has not said yet which one it is.
        registry: Plugins to search; the installed ones by default.

    Raises:
        UsageError: There is none for these tasks; the hint lists those that there are.
        PluginError: Its plugin cannot be used.
    """
    if name in LOSSES and _fits(LOSSES[name], tasks):
        return Offer(kind=LOSS, bare=name, plugin="", given=LOSSES[name])
    registry = registry or Registry.discover()
    try:
        offer: Offer[LossSpec] = registry.offer(LOSS, name, LOSSES)
        if _fits(offer.value, tasks):
            return offer
    except NameLookupError:
        pass
    known = [o.name for o in usable(registry.offers(LOSS, LOSSES)) if _fits(o.value, tasks)]
    raise UsageError(
        f"--loss {name!r} is not a loss for {in_words(tasks)} data.{did_you_mean(name, known)}",
        hint=f"Losses: {', '.join(known)}.",
    )


def _fits(spec: LossSpec, tasks: Sequence[Kinds]) -> bool:
    return any(kind in spec.tasks for task in tasks for kind in task.kinds)
