"""The plan of a fine-tune: hyperparameters, phases, what each of them trains, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from zoo.contract.extensions import OptimizerSpec
from zoo.contract.network.backbone import Backbone
from zoo.data.samples import Splits
from zoo.engine.batch_norm import refuse_batch_norm
from zoo.engine.batch_size import MeasuredBatch, in_words, largest, measure, with_batch_size
from zoo.engine.chosen_strategy import find_strategy
from zoo.engine.optimizers import find_optimizer
from zoo.engine.phase_facts import PhaseFacts, phase_facts, without_values
from zoo.engine.precision import choose_precision, resolve_precision
from zoo.engine.privacy import Privacy
from zoo.engine.recipe import Recipe
from zoo.engine.settings import refuse_unused
from zoo.engine.sharding import refuse_unsharded
from zoo.engine.strategies import Phase
from zoo.engine.trainable import refuse_redundant_layers
from zoo.errors import UsageError
from zoo.registry.offers import Offer
from zoo.registry.requirements import Requirements
from zoo.runs.request import Request
from zoo.tasks.task import Task
from zoo.training.opened import Opened
from zoo.training.private import plan_privacy
from zoo.training.run_options import RunOptions
from zoo.training.start import TrainingStart
from zoo.weights.loading.adapter_file import fingerprints


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before training.

    Attributes:
        request: The user's options.
        opened: Backbone, strategy, data and task that they name.
        start: The backbone with its weights and new head.
        recipe: All hyperparameters.
        phases: Phases of the strategy.
        facts: What each phase trains.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: Device for training and validation.
        plugins: The plugins in use.
        batch: The measured batch size; ``None`` if it was given, or is the default.
        privacy: The noise of private training; ``None`` without.
        base: Hashes of the tensors of the base, of which an adapter is saved apart; ``None`` if the
            whole network is saved.
    """

    request: Request
    opened: Opened
    start: TrainingStart
    recipe: Recipe
    phases: Sequence[Phase]
    optimizers: Mapping[str, Offer[OptimizerSpec]]
    facts: Sequence[PhaseFacts]
    precision: str
    device: torch.device
    plugins: Requirements
    batch: MeasuredBatch | None = None
    privacy: Privacy | None = None
    base: Mapping[str, bytes] | None = None

    @property
    def splits(self) -> Splits:
        """The data."""
        return self.opened.splits

    @property
    def task(self) -> Task:
        """The task of the labels."""
        return self.opened.task

    @property
    def backbone(self) -> Backbone:
        """The backbone to train."""
        return self.start.backbone

    @property
    def batch_norms(self) -> list[str]:
        """Paths of the batch-normalisation layers that train in some phase."""
        return [path for facts in self.facts for path in facts.batch_norms]


def make_plan(
    request: Request,
    opened: Opened,
    start: TrainingStart,
    options: RunOptions,
    accelerator: Accelerator,
) -> Plan:
    """Make the plan, and check that every option given has an effect.

    Raises:
        ZooError: An option has no effect, a name is unknown, or the device cannot do it.
    """
    recipe, backbone = start.recipe, start.backbone
    strategy = opened.strategy or find_strategy(recipe.strategy, options.registry)
    chosen = find_optimizer(recipe.optimizer, options.registry)
    recipe = replace(recipe, strategy=strategy.name, optimizer=chosen.name)
    if recipe.freeze_until:
        backbone.stage_parameters(recipe.freeze_until)  # raises for an unknown stage
    stages = [stage.name for stage in backbone.stages()]
    phases_of = partial(strategy.phases, stages=stages)
    phases = phases_of(recipe)
    optimizers: dict[str, Offer[OptimizerSpec]] = {
        name: find_optimizer(name, options.registry)
        for name in (phase.optimizer or recipe.optimizer for phase in phases)
    }
    privacy = plan_privacy(request, opened, start, recipe, phases, accelerator)
    refuse_unused(request.overrides, recipe, phases, phases_of)
    _refuse_checkpointing(backbone, recipe, request)
    precision = _precision(request, backbone, recipe, phases, options, accelerator)
    batch = None
    if any(phase.trains_backbone for phase in phases) and _measures(request, accelerator.device):
        recipe = replace(recipe, fit_memory=True)
        if batch := _batch_size(request, opened, start, phases, recipe, precision, accelerator):
            size = batch.size * accelerator.num_processes
            recipe = with_batch_size(recipe, size, request.overrides)
            phases = phases_of(recipe)
            options.reporter.note(in_words(batch, recipe, opened.splits.kind.nouns))
    offers: tuple[Offer[Any], ...] = (
        opened.head,
        strategy.offer,
        *optimizers.values(),
        *opened.offers(options.registry),
    )
    twin = without_values(backbone)
    refuse_redundant_layers(twin, phases_of, recipe, request.overrides)
    refuse_batch_norm(twin, phases, recipe, request.overrides)
    facts = phase_facts(twin, phases, recipe)
    apart = _saved_apart(request, start, phases, named=options.network is None)
    return Plan(
        request=request,
        opened=opened,
        start=start,
        recipe=recipe,
        phases=phases,
        optimizers=optimizers,
        facts=facts,
        precision=precision,
        batch=batch,
        privacy=privacy,
        device=accelerator.device,
        plugins=options.registry.requirements(backbone.spec, offers),
        base=fingerprints(backbone.net) if apart else None,
    )


def _precision(
    request: Request,
    backbone: Backbone,
    recipe: Recipe,
    phases: Sequence[Phase],
    options: RunOptions,
    accelerator: Accelerator,
) -> str:
    """The precision of training; refuses what the processes cannot do in it before it is timed."""
    device = accelerator.device
    refuse_unsharded(accelerator, recipe, phases, resolve_precision(request.precision, device))
    trains = any(phase.trains_backbone for phase in phases)
    return choose_precision(request.precision, backbone, device, options.reporter, trains=trains)


def _measures(request: Request, device: torch.device) -> bool:
    """Whether the batch size is measured: with ``auto``, the default on an accelerator."""
    default = 0 if device.type == "cpu" else "auto"
    return bool(request.overrides.get("batch_size", default) == "auto")


def _batch_size(
    request: Request,
    opened: Opened,
    start: TrainingStart,
    phases: Sequence[Phase],
    recipe: Recipe,
    precision: str,
    accelerator: Accelerator,
) -> MeasuredBatch | None:
    """The batch size measured now, or when the run started; ``None`` for few samples."""
    if request.measured:
        return MeasuredBatch(request.measured, {})
    most = largest(len(opened.splits.train) // accelerator.num_processes, start.backbone)
    if most == recipe.batch_size:
        return None
    measured = measure(
        start.backbone,
        [phase for phase in phases if phase.trains_backbone][-1],
        recipe,
        device=accelerator.device,
        precision=precision,
        most=most,
    )
    sizes = gather_object([measured.size]) if accelerator.num_processes > 1 else [measured.size]
    return replace(measured, size=min(sizes))


def _refuse_checkpointing(backbone: Backbone, recipe: Recipe, request: Request) -> None:
    """Raise a :class:`UsageError` where activations cannot be computed again."""
    option = "--activation-checkpointing"
    if recipe.activation_checkpointing and not backbone.blocks():
        raise UsageError(
            f"{option} has no effect: {backbone.spec.name} has no repeated blocks",
            hint=f"Remove {option}; try --batch-size auto or --accumulate.",
        )
    if recipe.activation_checkpointing and request.compile == "on":
        raise UsageError(f"{option} does not work with --compile on", hint="Use one of the two.")


def _saved_apart(
    request: Request, start: TrainingStart, phases: Sequence[Phase], *, named: bool
) -> bool:
    """Whether the run holds an adapter and the name of its base, rather than the whole network.

    Args:
        request: The user's options.
        start: What training starts from.
        phases: Phases of the strategy.
        named: Whether the base is found again by its name: a user's own network is not.

    Raises:
        UsageError: ``merge`` has no effect.
    """
    saves_adapter = (
        phases[-1].kind is not None
        and not any(phase.trains_backbone for phase in phases[:-1])
        and start.start.weights is not None
        and not request.surgery
        and named
    )
    if request.merge and not saves_adapter:
        raise UsageError(
            "--merge has no effect: this run saves the whole network",
            hint="Leave --merge out. It is for adapters, such as --strategy lora, on pretrained weights.",
        )
    return saves_adapter and not request.merge
