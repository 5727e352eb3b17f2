"""What a fine-tune says before it starts."""

from __future__ import annotations

from zoo.contract.backbone import Backbone
from zoo.data.samples import Splits
from zoo.engine import settings
from zoo.engine.hyperparameters import rows
from zoo.engine.phase_facts import PhaseFacts
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase
from zoo.modalities import modality_of
from zoo.tasks.metrics import titles
from zoo.training.plan import Plan
from zoo.training.start import Start


def summarize(plan: Plan) -> dict[str, str]:
    """What is about to happen, a fact a line."""
    request, splits, task, recipe = plan.request, plan.splits, plan.task, plan.recipe
    start = plan.start.start
    spec, weights = start.backbone.spec, start.weights
    assert splits.val is not None
    names = ", ".join(splits.classes[:8]) + (", …" if len(splits.classes) > 8 else "")
    skipped = f", {len(splits.skipped)} unreadable left out" if splits.skipped else ""
    modality = modality_of(spec)
    facts = {
        "data": f"{splits.source}: {len(splits.train)} training, "
        f"{len(splits.val)} validation samples{skipped}",
        task.wording.outputs: f"{len(splits.classes)}: {names}{task.wording.each}",
        **_others(splits),
        **({"notes": "; ".join(splits.notes)} if splits.notes else {}),
        **_shared(splits),
        **modality.input_facts(spec, splits, request.of(modality.options)),
        "backbone": f"{spec.name}, {modality.shape_in_words(spec)}, {spec.feature_dim} features",
        **_padding(start),
        "weights": f"{weights.tag} ({weights.uri})" if weights else "none (random parameters)",
        **_lacking(start),
        "strategy": settings.in_words(recipe, plan.phases),
    }
    for phase, trained in zip(plan.phases, plan.facts, strict=True):
        facts[f"  {phase.name}"] = _what_trains(phase, trained)
    facts["metric"] = f"{titles()[task.metric]}, on the validation samples, chooses what is kept"
    how = plan.precision + (", compiled" if request.compile == "on" else "")
    if plan.precision != "fp32":
        how += "; evaluated in fp32"
    return {**facts, "precision": how, "device": str(plan.device), **_solver_change(plan)}


def _lacking(start: Start) -> dict[str, str]:
    """What the weights lack that their name promises."""
    notes = weights_notes(start.backbone)
    return {"weights lack": "; ".join(notes)} if notes else {}


def weights_notes(backbone: Backbone) -> list[str]:
    """What of the weights is not as their name promises; the head is replaced in any case."""
    flaw = backbone.head_flaw
    return [*backbone.weights_notes, *([f"{flaw}; a new one is trained"] if flaw else [])]


def _padding(start: Start) -> dict[str, str]:
    """How texts of unequal length come together, where it is not the usual way."""
    if not start.backbone.unpadded:
        return {}
    return {
        "padding": "would change this network's answers: texts of each length are computed apart"
    }


def _others(splits: Splits) -> dict[str, str]:
    """Files that nobody would miss, or that have lost their suffix."""
    if not splits.others:
        return {}
    more = ", …" if len(splits.others) > 1 else ""
    files = "file" if len(splits.others) == 1 else "files"
    return {
        "ignored": f"{len(splits.others)} {files} not called like images ({splits.others[0]}{more})"
    }


def _shared(splits: Splits) -> dict[str, str]:
    """What training has in common with validation and test, if it has."""
    words = overlap_in_words(splits)
    return {"shared": words} if words else {}


def overlap_in_words(splits: Splits) -> str:
    """What training has in common with validation and test; empty where that is nothing."""
    near = splits.near or ()
    facts = [
        f"{count} {what}"
        for count, what in (
            (len(splits.shared), "validation or test samples are in the training data too"),
            (len(near), "look like an image there"),
        )
        if count
    ]
    if splits.near is None:
        facts.append("too many images to compare all by their looks")
    if not facts:
        return ""
    listed = [*splits.shared, *near]
    some = f" ({listed[0]}{', …' if len(listed) > 1 else ''})" if listed else ""
    if splits.removed:
        return f"{', '.join(facts)}{some}; {splits.removed} removed from training"
    advice = "; metrics look too good: --dedupe trains without them" if listed else ""
    return ", ".join(facts) + some + advice


def _solver_change(plan: Plan) -> dict[str, str]:
    """That a head is trained in steps because of an option, where it would have been solved for."""
    request, recipe, phases, default = plan.request, plan.recipe, plan.phases, plan.start.default
    heads = [phase for phase in phases if not phase.trains_backbone]
    wanted = recipe.steps_for(request.overrides)
    if not heads or not wanted or default.head_solver == recipe.head_solver:
        return {}
    options = ", ".join(rows(Recipe)[name].typed for name in wanted)
    return {
        "head solver": f"AdamW in steps, because of {options}; left out, L-BFGS solves for the "
        "head to convergence, which is quicker and most often better"
    }


def _what_trains(phase: Phase, facts: PhaseFacts) -> str:
    course = (
        f"solved by L-BFGS for {phase.epochs} strengths of regularisation"
        if phase.solved
        else f"{phase.epochs} {'epoch' if phase.epochs == 1 else 'epochs'}, {_rates(phase, facts)}"
    )
    return (
        f"trains {facts.trained:,} of {facts.total:,} parameters ({_what(phase, facts)}), {course}"
    )


def _what(phase: Phase, facts: PhaseFacts) -> str:
    if not phase.trains_backbone:
        return "the head, on cached features"
    whole = {"all": "backbone", "bias": "biases", "norm": "normalisation"}
    what = f"{whole.get(phase.parameters) or facts.adapters} and head"
    if phase.gradual:
        what += " at first, then stage after stage"
    return f"{what}, after {phase.freeze_until}" if phase.freeze_until else what


def _rates(phase: Phase, facts: PhaseFacts) -> str:
    falling = f", down to {facts.least_lr:.2g}" if facts.least_lr < phase.lr else ""
    return f"learning rate {phase.lr:g}{falling}"
