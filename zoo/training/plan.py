"""Everything that is settled before the first step: from a request to data, network, recipe, phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from zoo.contract.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Splits
from zoo.engine.batch_norm import refuse_single
from zoo.engine.compiled import Compiler
from zoo.engine.forward import Forward
from zoo.engine.heads import make_head
from zoo.engine.precision import settle_precision
from zoo.engine.recipe import Recipe
from zoo.engine.setting import Feeds
from zoo.engine.settings import refuse_unused
from zoo.engine.sharding import refuse_unsharded
from zoo.engine.strategies import Phase, find_strategy
from zoo.engine.surgery import operate
from zoo.engine.trainable import refuse_idle
from zoo.errors import ZooError
from zoo.modalities import modality_of
from zoo.modalities.text.tokenization import cut_in_words
from zoo.runs.request import Request
from zoo.tasks import task_named
from zoo.tasks.losses import Loss
from zoo.tasks.task import Task
from zoo.training import summary
from zoo.training.dataloaders import make_feeds
from zoo.training.manner import Manner
from zoo.training.start import Start, start_from


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is settled before training starts."""

    request: Request
    start: Start
    splits: Splits
    task: Task
    loss: Loss
    feeds: Feeds
    recipe: Recipe
    phases: Sequence[Phase]
    forward: Forward
    plugin: str


def make_plan(
    request: Request, manner: Manner, accelerator: Accelerator, compiler: Compiler | None
) -> Plan:
    """Everything up to the first step; says what is about to happen.

    Raises:
        ZooError: Anything that the user can put right.
    """
    registry = manner.registry
    resolved = registry.resolve(request.backbone)
    request.refuse_for(resolved.spec.modality)
    if request.strategy:
        find_strategy(request.strategy, registry)  # a misspelt one is told before the data open
    device = accelerator.device
    splits = request.open(modality_of(resolved.spec))
    asked = request.recipe(Recipe.default(resolved.spec.modality, pretrained=False))
    assert splits.train.labels is not None
    task = task_named(splits.task).fitted(splits.train.labels, asked.metric, rare=asked.rare)
    torch.manual_seed(request.seed)
    start = start_from(request, resolved, splits, manner.reporter)
    default = _default_recipe(request, start, splits)
    recipe = replace(request.recipe(default), metric=task.metric)
    recipe = _adapt(start.backbone, request, manner, recipe, outputs=len(splits.classes))
    phases = _phases(start.backbone, request, manner, accelerator, recipe)
    trains = any(phase.trains_backbone for phase in phases)
    precision = settle_precision(
        request.precision, start.backbone, device, manner.reporter, trains=trains
    )
    forward = Forward(start.backbone, device=device, precision=precision, compiler=compiler)
    manner.reporter.header(
        summary.header(request, start, splits, task, recipe, phases, forward)
        | summary.solver_change(default, recipe, request, phases)
    )
    feeds = make_feeds(request, start, splits, recipe, phases, manner.reporter, accelerator)
    try:
        refuse_single(forward, phases, recipe, lambda: feeds.val.batch([(0, 0)]))
    except ZooError:
        feeds.close()
        raise
    if cut := _cut(feeds, start.backbone.spec):
        manner.reporter.note(cut)
        splits = replace(splits, notes=(*splits.notes, cut))
    return Plan(
        request=request,
        start=start,
        splits=splits,
        task=task,
        loss=_loss(task, splits, recipe),
        feeds=feeds,
        recipe=recipe,
        phases=phases,
        forward=forward,
        plugin=resolved.spec.plugin,
    )


def _adapt(
    backbone: Backbone, request: Request, manner: Manner, recipe: Recipe, *, outputs: int
) -> Recipe:
    """Give the backbone its new head, and change it as asked; the recipe with what stays frozen."""
    head = make_head(
        request.head,
        backbone.spec.feature_dim,
        outputs,
        registry=manner.registry,
        dropout=recipe.dropout,
        bias=backbone.head_bias,
    )
    backbone.replace_head(head)
    frozen = operate(backbone, request.surgery, manner.surgery)
    return replace(recipe, freeze=(*recipe.freeze, *frozen))


def _phases(
    backbone: Backbone,
    request: Request,
    manner: Manner,
    accelerator: Accelerator,
    recipe: Recipe,
) -> Sequence[Phase]:
    """The phases of the strategy, where every option that was asked for has an effect."""
    strategy = find_strategy(recipe.strategy, manner.registry)
    phases = strategy(recipe)
    refuse_unused(request.overrides, recipe, phases, strategy)
    refuse_unsharded(accelerator, recipe, phases)
    if recipe.freeze_until:
        backbone.stage_parameters(recipe.freeze_until)  # there must be such a stage
    refuse_idle(backbone, strategy, recipe, request.overrides)
    return phases


def _cut(feeds: Feeds, spec: BackboneSpec) -> str:
    """How many texts of training and validation are not read to their end, in words."""
    both = [loader.reader for loader in (feeds.train, feeds.val)]
    cut, count = int(sum(feed.cut.sum() for feed in both)), sum(len(feed.samples) for feed in both)
    return cut_in_words(cut, count, spec.text_input) if cut else ""


def _loss(task: Task, splits: Splits, recipe: Recipe) -> Loss:
    """The loss that the recipe asks for, if the task has such a one."""
    assert splits.train.labels is not None
    return task.loss(
        splits.train.labels,
        class_weights=recipe.class_weights,
        focal=recipe.focal,
        label_smoothing=recipe.label_smoothing,
    )


def _default_recipe(request: Request, start: Start, splits: Splits) -> Recipe:
    pretrained = start.weights is not None
    modality = start.backbone.spec.modality
    default = Recipe.default(
        modality,
        pretrained=pretrained,
        strategy=request.strategy,
        products=len(splits.train)
        * (request.overrides.get("cached_views") or 1)
        * start.backbone.spec.feature_dim
        * len(splits.classes),
    )
    return default if pretrained or not splits.epochs else replace(default, epochs=splits.epochs)
