"""What a request names, found: the backbone, the strategy, the data, and what they are for."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.data.samples import Splits
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Strategy, find_strategy
from zoo.modalities import modality_of
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.runs.request import Request
from zoo.runs.requested_data import open_requested
from zoo.tasks import task_named
from zoo.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a request names, found.

    Attributes:
        resolved: The backbone's name.
        strategy: The strategy that was asked for, if one was.
        splits: The data.
        task: What they are for.
    """

    resolved: Resolved
    strategy: Strategy | None
    splits: Splits
    task: Task


def open_request(request: Request, registry: Registry) -> Opened:
    """Find the backbone, then the strategy, then open the data: what is quickest to refuse first.

    Raises:
        ZooError: Anything that the user can put right.
    """
    resolved = registry.resolve(request.backbone)
    name = resolved.spec.modality
    request.refuse_for(name)
    strategy = find_strategy(request.strategy, registry) if request.strategy else None
    splits = open_requested(request, modality_of(resolved.spec))
    asked = request.recipe(Recipe.default(name, pretrained=False))
    assert splits.train.labels is not None
    task = task_named(splits.task).fitted(splits.train.labels, asked.metric, rare=asked.rare)
    return Opened(resolved=resolved, strategy=strategy, splits=splits, task=task)
