"""Resolves what a request names: backbone, strategy, data and task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zoo.contract.extensions import AugmentationSpec, LossSpec
from zoo.contract.hookspecs import HeadFactory
from zoo.contract.readers import ReaderSpec
from zoo.data.folds import held_out
from zoo.data.memory.source import DataSource
from zoo.data.samples import Splits
from zoo.data.sources.readers import plugin_readers
from zoo.engine.chosen_strategy import ChosenStrategy, find_strategy
from zoo.engine.decoding import DecodedCache
from zoo.engine.heads import find_head
from zoo.engine.optimizers import find_optimizer
from zoo.engine.privacy import require_opacus
from zoo.engine.progress import Reporter
from zoo.engine.recipe import Recipe
from zoo.engine.user_network.network import OwnNetwork
from zoo.modalities import modality_of
from zoo.modalities.augmentations import find_augmentation
from zoo.registry.offers import Offer
from zoo.registry.readers import offered
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import find_task, tasks_for
from zoo.tasks.defined import require_defined
from zoo.tasks.losses import find_loss
from zoo.tasks.metrics import find_metric
from zoo.tasks.task import Task
from zoo.training.decoded_cache import decoded_cache
from zoo.training.distilled import Distilled, open_distilled


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a request names, resolved.

    Attributes:
        resolved: The backbone's spec, and the weights in its name.
        strategy: The requested strategy, if any.
        head: The requested head.
        splits: The data.
        task: The task of its labels.
        loss: The training loss.
        readers: The readers of plugins that read the data.
        augment: The augmentation beyond crops and flips, if any.
        decoded: Inputs that are decoded once.
        remarks: What the selection metric leaves out on the validation split.
        distilled: The teacher, in a distillation.
    """

    resolved: Resolved
    strategy: ChosenStrategy | None
    head: Offer[HeadFactory]
    splits: Splits
    task: Task
    loss: Offer[LossSpec]
    augment: Offer[AugmentationSpec] | None
    decoded: DecodedCache
    readers: tuple[ReaderSpec, ...] = ()
    remarks: tuple[str, ...] = ()
    distilled: Distilled | None = None

    def offers(self, registry: Registry) -> tuple[Offer[Any], ...]:
        """Task, selection metric, loss, augmentation and readers."""
        task = find_task(self.task.name, registry)
        augment = () if self.augment is None else (self.augment,)
        readers = map(offered, self.readers)
        return (task, self.task.selection.offer, self.loss, *augment, *readers)


def open_request(
    request: Request,
    registry: Registry,
    given: DataSource = None,
    network: OwnNetwork | None = None,
    *,
    device: torch.device,
    reporter: Reporter,
    merged: Splits | None = None,
) -> Opened:
    """Find the backbone, the strategy and the head, then open the data: the cheapest checks come first.

    Args:
        request: The names.
        registry: The plugins.
        given: The data in memory, if the request names such.
        network: The user's own network, instead of a name.
        device: The device for training.
        reporter: Receives progress.
        merged: The data of a cross-validation, if it is open already.

    Raises:
        ZooError: A name is unknown, an option does not apply, or the data cannot be read.
    """
    resolved = network.resolved() if network else registry.resolve(request.backbone)
    name = resolved.spec.modality
    request.refuse_for(resolved.spec)
    if request.private:
        require_opacus()
    strategy = find_strategy(request.strategy, registry) if request.strategy else None
    head = find_head(request.head, registry)
    requested = request.recipe(Recipe.default(name, pretrained=False, preset=request.preset))
    augment = find_augmentation(requested.augment, name, registry)
    find_optimizer(requested.optimizer, registry)
    tasks = tasks_for(request.task, registry)
    if requested.metric:
        find_metric(requested.metric, *tasks, registry=registry)
    if requested.loss:
        find_loss(requested.loss, *tasks, registry=registry)
    decoded = decoded_cache(request, resolved, strategy, registry, device=device, reporter=reporter)
    kind, distilled = modality_of(resolved.spec), None
    if request.teacher is None:
        splits = open_requested(request, kind, tasks, given, decoded, merged)
    else:
        distilled = open_distilled(request, kind, given, registry, reporter)
        splits = distilled.splits
    task = _task_of(splits, tasks, requested, registry)
    assert splits.val is not None
    assert splits.val.labels is not None
    if request.over_folds:
        _require_defined_in_folds(request, splits, task)
    return Opened(
        resolved=resolved,
        strategy=strategy,
        head=head,
        splits=splits,
        task=task,
        loss=find_loss(requested.loss or task.usual_loss, task, registry=registry),
        augment=augment,
        decoded=decoded,
        readers=tuple(plugin_readers(request.data)),
        distilled=distilled,
        remarks=require_defined(task, splits.val.labels, splits.classes),
    )


def _require_defined_in_folds(request: Request, splits: Splits, task: Task) -> None:
    """Raise a :class:`UsageError` if the selection metric is undefined on a fold, before any trains."""
    labels, count = splits.train.labels, request.folds
    assert labels is not None
    assert count is not None
    for number, held in enumerate(held_out(splits, task, count=count, seed=request.seed), start=1):
        require_defined(task, labels[held], splits.classes, f"fold {number} of {count}")


def _task_of(splits: Splits, tasks: Sequence[Task], recipe: Recipe, registry: Registry) -> Task:
    """The task fitted to the data, with the metric that selects the best epoch."""
    task = next(task for task in tasks if task.name == splits.task)
    metric = find_metric(recipe.metric, task, registry=registry) if recipe.metric else None
    assert splits.train.labels is not None
    return task.fitted(splits.train.labels, metric, rare=recipe.rare)
