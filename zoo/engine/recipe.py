"""Every hyperparameter of a fine-tune, its default, and what it may be."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from zoo.engine.schedules import SCHEDULES
from zoo.errors import UsageError, did_you_mean
from zoo.modalities import modality_named
from zoo.modalities.image.transforms import Augment

Solver = Literal["adamw", "lbfgs"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a backbone is adapted.

    Attributes:
        strategy: Name of the strategy.
        epochs: Passes over the training split in the strategy's last phase.
        probe_epochs: Passes over the cached features where a phase trains the head alone first.
        lr: Learning rate of the head and of the last stage where the backbone trains.
        probe_lr: Learning rate of the head where it trains alone.
        layer_decay: Factor on the learning rate from each stage to the one before it.
        base_width: Inputs that a matrix may sum over at the full learning rate, and a filter over
            twice as many; with more, the rate is smaller in proportion. ``None`` for one rate
            whatever the width.
        weight_decay: AdamW's decoupled decay; biases and normalisation have none.
        batch_size: Samples a step, over all processes.
        accumulate: Parts that a step's samples are computed in, one after another.
        fit_memory: Whether ``accumulate`` doubles where a part does not fit into memory.
        probe_batch_size: Features a step where the head trains alone.
        head_solver: How a head that trains alone is found: ``lbfgs``, solved to convergence for
            several strengths of regularisation, or ``adamw``, in ``probe_epochs``.
        cached_views: How many variations of each training picture the frozen part of the network
            computes, once. 0: a head that trains alone sees the picture as it is, and where more
            trains, each epoch varies it anew.
        schedule: Course of the learning rate over a phase.
        warmup: Share of a phase's steps in which the learning rate rises.
        max_grad_norm: Gradients are scaled down to this norm.
        patience: A phase ends after so many epochs without a better one; ``None`` for never.
        freeze_until: The last stage that never trains; ``None`` for none.
        freeze: Stages or layers that never train, whatever the phase.
        unfreeze: Stages or layers that train wherever the backbone does, whatever else is frozen.
        dropout: Share of the features that are dropped before the head in training.
        label_smoothing: Share of a label's weight that is spread over all classes.
        class_weights: Whether rare classes weigh more in the loss.
        balanced: Whether each class is drawn equally often.
        focal: Gamma of the focal loss; 0 for cross-entropy.
        mixup: Alpha of MixUp; 0 for none.
        cutmix: Alpha of CutMix; 0 for none.
        augment: ``none`` but crops and mirror images, or ``trivial`` for TrivialAugment.
        l2sp: Strength of the pull to the weights that training started from.
        ema: Decay of the averaged weights that are validated and kept; 0 for no averaging.
        lora_rank: Rank of the matrices that the strategy ``lora`` trains.
        lora_alpha: Their scale, as a multiple of ``1 / lora_rank``.
        lora_dropout: Share of their inputs that are dropped in training.
        metric: Chooses the best epoch and ends a phase early; ``None`` for what fits the task and
            whether rare classes are to count.
        seed: Of everything random.
    """

    strategy: str
    epochs: int
    probe_epochs: int
    lr: float
    probe_lr: float
    layer_decay: float
    weight_decay: float
    base_width: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    fit_memory: bool = False
    probe_batch_size: int = 64
    head_solver: Solver = "adamw"
    cached_views: int = 0
    schedule: str = "cosine"
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    patience: int | None = None
    freeze_until: str | None = None
    freeze: tuple[str, ...] = ()
    unfreeze: tuple[str, ...] = ()
    dropout: float = 0.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    balanced: bool = False
    focal: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    augment: Augment = "none"
    l2sp: float = 0.0
    ema: float = 0.0
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    metric: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("epochs", "probe_epochs", "batch_size", "accumulate", "lora_rank"):
            _at_least(option, getattr(self, option), 1)
        if self.patience is not None:
            _at_least("patience", self.patience, 1)
        for option in (
            *("seed", "weight_decay", "focal", "mixup", "cutmix", "l2sp", "lora_alpha"),
            *("cached_views",),
        ):
            _at_least(option, getattr(self, option), 0)
        for option in ("lr", "probe_lr", "layer_decay", "max_grad_norm"):
            _above(option, getattr(self, option), 0)
        for option in ("dropout", "label_smoothing", "lora_dropout", "ema", "warmup"):
            _share(option, getattr(self, option))
        _known("schedule", self.schedule, SCHEDULES)
        _known("head_solver", self.head_solver, get_args(Solver))
        _known("augment", self.augment, get_args(Augment))
        if self.accumulate > self.batch_size:
            raise UsageError(
                f"--accumulate {self.accumulate} is more than the batch has samples",
                hint=f"Give at most {self.batch_size}, or a larger --batch-size.",
            )

    def steps_wanted(self, given: Mapping[str, Any]) -> list[str]:
        """Those of the wishes ``given`` for which AdamW trains the head, where that may choose."""
        about_steps = _STEPWISE | (_OF_LAST_PHASE if self.strategy == "probe" else set())
        if given.get("head_solver"):
            return []
        nothing = {"dropout"} if not given.get("dropout") else set()
        return [n for n in given if n in about_steps - nothing and given[n] is not None]

    @property
    def rare(self) -> bool:
        """Whether rare classes are to count as much as others."""
        return self.class_weights or self.balanced or self.focal > 0

    def to_json(self) -> dict[str, Any]:
        """The fields, for the lock file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def default(
        cls,
        modality: str,
        *,
        pretrained: bool,
        strategy: str | None = None,
        products: int = 0,
    ) -> Self:
        """What is good enough for most data, by modality and by where training starts.

        Args:
            modality: Of the backbone.
            pretrained: Whether training starts from weights.
            strategy: The one that was asked for, if one was.
            products: Multiplications of the head over the training split, which L-BFGS repeats
                some hundreds of times: samples by ``feature_dim`` by outputs.
        """
        chosen = strategy or ("two-stage" if pretrained else "full")
        recipe = cls(
            strategy=chosen,
            head_solver="lbfgs" if products <= _SOLVED else "adamw",
            **modality_named(modality).recipe(pretrained=pretrained),
        )
        return replace(recipe, lr=recipe.lr * _FASTER.get(chosen, 1.0))

    def changed(self, **wishes: Any) -> Self:
        """A copy with the wishes that are not ``None``; ``lr`` and ``epochs`` follow the strategy.

        Under ``probe``, where the head alone trains, they are those of the head, and so is the
        batch size. Where a wish is about steps, which a head that is solved for does not take,
        AdamW trains the head.
        """
        given = {name: wish for name, wish in wishes.items() if wish is not None}
        recipe = replace(self, **given)
        if recipe.l2sp and "weight_decay" not in given:
            recipe = replace(recipe, weight_decay=0.0)  # a pull to the start, and none to zero
        if recipe.steps_wanted(given):
            recipe = replace(recipe, head_solver="adamw")
        if recipe.strategy == "probe":
            return replace(
                recipe,
                probe_epochs=given.get("epochs", recipe.probe_epochs),
                probe_lr=given.get("lr", recipe.probe_lr),
                probe_batch_size=given.get("batch_size", recipe.probe_batch_size),
            )
        return recipe


_SOLVED = 1_000_000_000
"""Up to so many products of the head over the training split, L-BFGS takes seconds, or a minute."""

_STEPWISE = {"probe_epochs", "probe_lr", "probe_batch_size", "dropout"}
_OF_LAST_PHASE = {"epochs", "lr", "weight_decay", "schedule", "warmup", "max_grad_norm"}
"""Wishes that mean something to AdamW alone, where the head trains; and to the last phase."""

_FASTER = {"lora": 10.0, "bias": 10.0, "norm": 10.0}
"""Where few parameters train, they train with a multiple of the rate that all of them bear."""


def _at_least(option: str, value: float, least: float) -> None:
    if not value >= least:
        raise UsageError(f"{_flag(option)} {value:g} cannot be", hint=f"Give {least:g} or more.")


def _above(option: str, value: float, bound: float) -> None:
    if not bound < value < math.inf:
        hint = f"Give a number above {bound:g}."
        raise UsageError(f"{_flag(option)} {value:g} cannot be", hint=hint)


def _share(option: str, value: float) -> None:
    if not 0 <= value < 1:
        hint = "Give a number from 0 on and below 1."
        raise UsageError(f"{_flag(option)} {value:g} cannot be", hint=hint)


def _known(option: str, value: str, names: Collection[str]) -> None:
    if value not in names:
        guess = did_you_mean(value, names)
        hint = f"There are: {', '.join(names)}."
        raise UsageError(f"{_flag(option)} {value!r} cannot be.{guess}", hint=hint)


def _flag(option: str) -> str:
    return f"--{_SHORT.get(option, option).replace('_', '-')}"


_SHORT = {"max_grad_norm": "clip"}
