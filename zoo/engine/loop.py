"""The loop: phases, epochs, steps. Everything that trains anything is on this page."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.data import Loader
from zoo.engine import features as feature_cache
from zoo.engine.forward import Forward, head_logits
from zoo.engine.groups import parameter_groups
from zoo.engine.metrics import headline
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.errors import RunError

Batch = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Feeds:
    """The batches that training and validation see.

    Attributes:
        train: Shuffled, augmented batches; ``set_epoch`` before each pass.
        plain_train: The training split once, prepared as for validation; made when needed.
        val: The validation split once.
        train_labels: ``(N,)`` class indices.
        val_labels: ``(M,)`` class indices.
        key: What identifies the data, for the feature cache.
    """

    train: Loader
    plain_train: Callable[[], Loader]
    val: Loader
    train_labels: NDArray[np.int64]
    val_labels: NDArray[np.int64]
    key: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a fit works with, whatever the phase.

    Attributes:
        forward: Runs the backbone.
        feeds: The batches.
        recipe: The hyperparameters.
        accelerator: Steps the optimiser, on one process or many.
        cache: The folder that keeps features.
        reporter: Sees what happens.
    """

    forward: Forward
    feeds: Feeds
    recipe: Recipe
    accelerator: Accelerator
    cache: Path
    reporter: Reporter


@dataclass
class Fitted:
    """What training came to; the backbone holds the best epoch's parameters.

    Attributes:
        history: A record an epoch, as in ``metrics.jsonl``.
        best_epoch: Counted over all phases, from 1.
        metrics: The best epoch's figures on the validation split.
        logits: The best epoch's outputs there: ``(M, classes)``.
        seconds: Training and validation together.
        samples_per_second: Training samples a second of training time in the last phase.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    seconds: float = 0.0
    samples_per_second: float = 0.0


def fit(setting: Setting, phases: Sequence[Phase]) -> Fitted:
    """Train through ``phases`` and leave the best epoch's parameters in the backbone.

    The best epoch has the highest validation accuracy; of equals, the lowest loss.

    Raises:
        RunError: The loss is no number any more.
    """
    backbone, reporter = setting.forward.backbone, setting.reporter
    fitted, best, start = Fitted(), _Best(backbone), time.perf_counter()
    for phase in phases:
        phase.prepare(backbone)
        make = _backbone_learner if phase.trains_backbone else _head_learner
        learner = make(setting, phase)
        training = 0.0
        for epoch in range(phase.epochs):
            began = time.perf_counter()
            with reporter.steps(f"{phase.name} {epoch + 1}/{phase.epochs}", learner.steps) as tick:
                loss = _mean(learner.epoch(epoch), tick, phase)
            spent = time.perf_counter() - began
            training += spent
            logits = learner.validate()
            figures = headline(logits, setting.feeds.val_labels)
            record: dict[str, Any] = {
                "epoch": len(fitted.history) + 1,
                "phase": phase.name,
                "epoch_of_phase": epoch + 1,
                "train_loss": loss,
                **figures,
                "lr": phase.lr,
                "seconds": round(time.perf_counter() - began, 3),
                "samples_per_second": round(learner.samples / spent, 1),
                "best": best.offer(figures),
            }
            fitted.history.append(record)
            if record["best"]:
                fitted.best_epoch, fitted.metrics, fitted.logits = record["epoch"], figures, logits
            reporter.epoch(record, phase.epochs)
        fitted.samples_per_second = round(learner.samples * phase.epochs / training, 1)
    best.restore()
    fitted.seconds = round(time.perf_counter() - start, 2)
    return fitted


class _Learner:
    """One phase's optimiser, schedule and batches.

    Args:
        setting: What the fit works with.
        phase: What trains, how long, how fast.
        trained: What is called in training: the whole backbone, or its head.
        batches: From the epoch to ``(input, labels)`` pairs.
        steps: Batches an epoch.
        validate: Gives the validation split's logits: ``(M, classes)``.
    """

    def __init__(
        self,
        setting: Setting,
        phase: Phase,
        *,
        trained: nn.Module,
        batches: Callable[[int], Iterable[tuple[Any, Tensor]]],
        steps: int,
        validate: Callable[[], Tensor],
    ) -> None:
        self.steps, self.samples = steps, len(setting.feeds.train_labels)
        self.validate, self._batches = validate, batches
        self._accelerator, self._forward = setting.accelerator, setting.forward
        self._max_norm = setting.recipe.max_grad_norm
        groups = parameter_groups(
            setting.forward.backbone,
            lr=phase.lr,
            layer_decay=phase.layer_decay,
            weight_decay=setting.recipe.weight_decay,
            base_width=setting.recipe.base_width,
        )
        self._parameters = [p for group in groups for p in group["params"]]
        optimizer = torch.optim.AdamW(groups, fused=setting.forward.device.type in ("cpu", "cuda"))
        self._schedule = _cosine(optimizer, steps * phase.epochs, setting.recipe.warmup)
        self._model, self._optimizer = self._accelerator.prepare(trained, optimizer)

    def epoch(self, epoch: int) -> Iterator[tuple[float, int]]:
        """Train on every batch once; gives ``(mean loss, samples)`` after each step."""
        self._model.train()
        for inputs, labels in self._batches(epoch):
            with self._forward.autocast():
                logits = self._model(inputs)  # (B, classes)
            loss = nn.functional.cross_entropy(logits.float(), labels)
            self._accelerator.backward(loss)
            self._accelerator.clip_grad_norm_(self._parameters, self._max_norm)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
            yield loss.item(), len(labels)


def _backbone_learner(setting: Setting, phase: Phase) -> _Learner:
    """Trains backbone and head on augmented batches."""
    forward, feeds = setting.forward, setting.feeds

    def batches(epoch: int) -> Iterator[tuple[Any, Tensor]]:
        feeds.train.set_epoch(epoch)
        for batch in feeds.train:
            placed = forward.place(batch)
            yield placed, placed["labels"]

    def validate() -> Tensor:
        return forward.predict(feeds.val, count=len(feeds.val_labels), reporter=setting.reporter)

    return _Learner(
        setting,
        phase,
        trained=forward.backbone,
        batches=batches,
        steps=len(feeds.train),
        validate=validate,
    )


def _head_learner(setting: Setting, phase: Phase) -> _Learner:
    """Trains the head on features that the frozen backbone computes once."""
    forward, feeds, recipe = setting.forward, setting.feeds, setting.recipe
    backbone, count = forward.backbone, len(feeds.train_labels)
    weights = feature_cache.backbone_key(backbone, forward.precision)

    def cached(split: str, loader: Loader, count: int) -> NDArray[np.float32]:
        key = (weights, feeds.key, split)
        return feature_cache.compute(
            forward, loader, count=count, key=key, folder=setting.cache, reporter=setting.reporter
        )

    train = cached("train", feeds.plain_train(), count)
    val = cached("val", feeds.val, len(feeds.val_labels))
    labels = torch.from_numpy(feeds.train_labels)
    # In the batches of the validation split, so that a later evaluation agrees to the bit.
    partition = [[index for _, index in keys] for keys in feeds.val.batches]

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(count, generator=generator)
        for chosen in torch.split(order, recipe.probe_batch_size):
            rows = torch.from_numpy(train[chosen.numpy()])  # (B, feature_dim)
            yield rows.to(forward.device), labels[chosen].to(forward.device)

    @torch.inference_mode()
    def validate() -> Tensor:
        backbone.eval()
        parts = [torch.from_numpy(val[chosen]).to(forward.device) for chosen in partition]
        gathered = torch.cat([head_logits(backbone, part) for part in parts])
        logits = torch.empty_like(gathered)
        logits[torch.tensor([i for chosen in partition for i in chosen])] = gathered
        return logits

    return _Learner(
        setting,
        phase,
        trained=backbone.head,
        batches=batches,
        steps=math.ceil(count / recipe.probe_batch_size),
        validate=validate,
    )


def _mean(losses: Iterable[tuple[float, int]], tick: Callable[[], None], phase: Phase) -> float:
    total, samples = 0.0, 0
    for step, (loss, count) in enumerate(losses, 1):
        if not math.isfinite(loss):
            raise RunError(
                f"the loss became {loss} in step {step} of an epoch of phase {phase.name!r}",
                hint="Try a smaller --lr, or --precision fp32.",
            )
        total, samples = total + loss * count, samples + count
        tick()
    return total / samples


def _cosine(
    optimizer: torch.optim.Optimizer, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """A linear rise over the first share ``warmup`` of the steps, then half a cosine to zero."""
    rise = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class _Best:
    """Keeps the parameters and buffers of the best epoch so far."""

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = backbone
        self._score = (-math.inf, -math.inf)
        self._state: dict[str, Tensor] = {}

    def offer(self, figures: Mapping[str, float]) -> bool:
        """Keep the current parameters if ``figures`` are the best; returns whether they are."""
        score = (figures["accuracy"], -figures["loss"])
        if score <= self._score:
            return False
        self._score = score
        state = self._backbone.state_dict()
        self._state = {key: value.detach().cpu().clone() for key, value in state.items()}
        return True

    def restore(self) -> None:
        """Put the kept parameters back."""
        self._backbone.load_state_dict(self._state)
