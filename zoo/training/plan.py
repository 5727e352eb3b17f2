"""What a fine-tune is going to do: hyperparameters, phases and what each of them trains, precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from zoo.contract.backbone import Backbone
from zoo.data.samples import Splits
from zoo.engine.phase_facts import PhaseFacts, phase_facts, without_values
from zoo.engine.precision import choose_precision
from zoo.engine.recipe import Recipe
from zoo.engine.settings import refuse_unused
from zoo.engine.sharding import refuse_unsharded
from zoo.engine.strategies import Phase, find_strategy
from zoo.engine.trainable import refuse_redundant_layers
from zoo.runs.request import Request
from zoo.tasks.task import Task
from zoo.training.opened import Opened
from zoo.training.run_options import RunOptions
from zoo.training.start import TrainingStart


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a fine-tune is going to do, and with what.

    Attributes:
        request: What was asked for.
        opened: What that names.
        start: What training starts from.
        recipe: The hyperparameters.
        phases: The strategy's.
        facts: What each phase trains.
        precision: ``fp32`` or ``bf16``.
        device: Where it computes.
        plugins: Of zoo's plugins that have a part in it, the versions.
    """

    request: Request
    opened: Opened
    start: TrainingStart
    recipe: Recipe
    phases: Sequence[Phase]
    facts: Sequence[PhaseFacts]
    precision: str
    device: torch.device
    plugins: dict[str, str]

    @property
    def splits(self) -> Splits:
        """The data."""
        return self.opened.splits

    @property
    def task(self) -> Task:
        """What the data are for."""
        return self.opened.task

    @property
    def backbone(self) -> Backbone:
        """What trains."""
        return self.start.backbone

    @property
    def batch_norms(self) -> list[str]:
        """Paths of the batch normalisations that train in some phase."""
        return [path for facts in self.facts for path in facts.batch_norms]


def make_plan(
    request: Request,
    opened: Opened,
    start: TrainingStart,
    options: RunOptions,
    accelerator: Accelerator,
) -> Plan:
    """The plan, where every option that was asked for has an effect.

    Raises:
        ZooError: Anything that the user can put right.
    """
    recipe, backbone = start.recipe, start.backbone
    strategy = opened.strategy or find_strategy(recipe.strategy, options.registry)
    phases = strategy(recipe)
    refuse_unused(request.overrides, recipe, phases, strategy)
    refuse_unsharded(accelerator, recipe, phases)
    if recipe.freeze_until:
        backbone.stage_parameters(recipe.freeze_until)  # there must be such a stage
    twin = without_values(backbone)
    refuse_redundant_layers(twin, strategy, recipe, request.overrides)
    facts = phase_facts(twin, phases, recipe)
    trains, device = any(phase.trains_backbone for phase in phases), accelerator.device
    return Plan(
        request=request,
        opened=opened,
        start=start,
        recipe=recipe,
        phases=phases,
        facts=facts,
        precision=choose_precision(
            request.precision, backbone, device, options.reporter, trains=trains
        ),
        device=device,
        plugins=options.registry.versions(
            backbone.spec, zoo_heads=request.head, zoo_strategies=recipe.strategy
        ),
    )
