"""Resolves what a request names: backbone, strategy, data and task."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.contract.hookspecs import HeadFactory
from zoo.data.memory.source import DataSource
from zoo.data.samples import Splits
from zoo.engine.chosen_strategy import ChosenStrategy, find_strategy
from zoo.engine.heads import find_head
from zoo.engine.own.network import OwnNetwork
from zoo.engine.recipe import Recipe
from zoo.modalities import modality_of
from zoo.registry.offers import Offer
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import task_named
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a request names, resolved.

    Attributes:
        resolved: The backbone's spec, and the weights in its name.
        strategy: The requested strategy, if any.
        head: The requested head.
        splits: The data.
        task: The task of its labels.
    """

    resolved: Resolved
    strategy: ChosenStrategy | None
    head: Offer[HeadFactory]
    splits: Splits
    task: Task


def open_request(
    request: Request,
    registry: Registry,
    given: DataSource = None,
    network: OwnNetwork | None = None,
) -> Opened:
    """Find the backbone, the strategy and the head, then open the data: the cheapest checks come first.

    Args:
        request: The names.
        registry: The plugins.
        given: The data in memory, if the request names such.
        network: The user's own network, instead of a name.

    Raises:
        ZooError: A name is unknown, an option does not apply, or the data cannot be read.
    """
    resolved = network.resolved() if network else registry.resolve(request.backbone)
    name = resolved.spec.modality
    request.refuse_for(name)
    strategy = find_strategy(request.strategy, registry) if request.strategy else None
    head = find_head(request.head, registry)
    splits = open_requested(request, modality_of(resolved.spec), given)
    requested = request.recipe(Recipe.default(name, pretrained=False))
    assert splits.train.labels is not None
    task = task_named(splits.task).fitted(
        splits.train.labels, requested.metric, rare=requested.rare
    )
    return Opened(resolved=resolved, strategy=strategy, head=head, splits=splits, task=task)
