"""The header of a fine-tune: what is about to be trained, on what and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zoo.contract.network.backbone import Backbone
from zoo.data.matches import LeakedPair
from zoo.data.samples import Splits
from zoo.engine import settings
from zoo.engine.hyperparameters import rows
from zoo.engine.phase_facts import PhaseFacts
from zoo.engine.recipe import Recipe, preset_values
from zoo.engine.strategies import Phase
from zoo.modalities import modality_of
from zoo.runs.privacy import guarantee, mechanism
from zoo.system.durations import in_words, seconds_of
from zoo.system.plurals import counted
from zoo.training.plan import Plan
from zoo.training.start import Start


def summarize(plan: Plan) -> dict[str, str]:
    """The lines of the header, by their names."""
    request, splits, task, recipe = plan.request, plan.splits, plan.task, plan.recipe
    start = plan.start.start
    spec, weights = start.backbone.spec, start.weights
    names = ", ".join(splits.classes[:8]) + (", …" if len(splits.classes) > 8 else "")
    skipped = f", {len(splits.skipped)} unreadable skipped" if splits.skipped else ""
    modality = modality_of(spec)
    facts = {
        "data": f"{splits.source}: {_counts(plan)}{skipped}",
        task.wording.outputs: f"{len(splits.classes)}: {names}{task.wording.each}",
        **_ignored(splits),
        **({"notes": "; ".join(splits.notes)} if splits.notes else {}),
        **_leakage(splits),
        **modality.input_facts(spec, splits, _asked(plan, modality.options)),
        **({"first layer": note} if (note := start.backbone.channels_note) else {}),
        "backbone": f"{spec.name}, {modality.shape_in_words(spec)}, {spec.feature_dim} features",
        **_padding(start),
        "weights": f"{weights.tag} ({weights.uri})" if weights else "none (random initialisation)",
        **_missing(start),
        **_preset(plan),
        **({"head": plan.start.kept.in_words()} if plan.start.kept else {}),
        **({"teacher": found.in_words()} if (found := plan.opened.distilled) else {}),
        "strategy": settings.in_words(recipe, plan.phases),
    }
    for phase, trained in zip(plan.phases, plan.facts, strict=True):
        facts[f"  {phase.name}"] = _what_trains(phase, trained)
    if request.time_limit is not None and request.cuts is None:
        facts["time limit"] = (
            f"{in_words(seconds_of(request.time_limit))} from start to report, for at most "
            "the epochs above"
        )
    if plan.privacy:
        privacy = plan.privacy.to_json()
        words = f"{guarantee(privacy)}; {mechanism(privacy)}"
        facts["privacy"] = words[0].lower() + words[1:]
    facts["metric"] = "; ".join([_selection(plan), *plan.opened.remarks])
    precision = plan.precision + (", compiled" if request.compile == "on" else "")
    if plan.precision != "fp32":
        precision += "; evaluated in fp32"
    return {**facts, "precision": precision, "device": str(plan.device), **_solver_change(plan)}


def _counts(plan: Plan) -> str:
    """How many samples there are, and groups."""
    splits, request = plan.splits, plan.request
    assert splits.val is not None
    groups = splits.train.groups
    if request.over_folds:
        of = "" if groups is None else f" of {len(set(groups.tolist()))} groups"
        return f"{len(splits.train)} samples{of} in {request.folds} folds"
    counts = f"{len(splits.train)} training, {len(splits.val)} validation samples"
    return counts + (f", {len(splits.test)} set aside for a test" if splits.test else "")


def _selection(plan: Plan) -> str:
    chosen, folds = plan.task.selection, plan.request.over_folds
    name = "" if chosen.offer.plugin == "" else f" ({chosen.key})"
    lower = "" if chosen.metric.higher else ", the lowest,"
    where = "the mean over the folds" if folds else "on the validation split"
    return f"{chosen.title}{name} {where}{lower} selects the best epoch"


def _asked(plan: Plan, options: Iterable[str]) -> dict[str, Any]:
    """The values of ``options``, of the request and of the recipe."""
    recipe = {name: getattr(plan.recipe, name) for name in options if hasattr(plan.recipe, name)}
    return {**plan.request.of(options), **recipe}


def _missing(start: Start) -> dict[str, str]:
    notes = weights_notes(start.backbone)
    return {"missing weights": "; ".join(notes)} if notes else {}


def weights_notes(backbone: Backbone) -> list[str]:
    """What the weights lack although their name promises it; the head is replaced in any case."""
    flaw = backbone.head_flaw
    return [*backbone.weights_notes, *([f"{flaw}; a new one is trained"] if flaw else [])]


def _preset(plan: Plan) -> dict[str, str]:
    """The values of the preset that a phase uses, and those that options of the user replace."""
    request, start, table = plan.request, plan.start.start, rows(Recipe)
    if request.preset is None:
        return {}
    pretrained, modality = start.weights is not None, start.backbone.spec.modality
    used = {name for phase in plan.phases for name in settings.used_by(phase, plan.recipe)}
    if any(phase.trains_backbone for phase in plan.phases):
        used |= {name for name, row in table.items() if row.use == "strategy"}
    used.add("strategy")
    kept, replaced = list[str](), list[str]()
    for name, value in preset_values(request.preset, modality, pretrained=pretrained).items():
        typed, given = table[name].typed, request.overrides.get(name)
        if given is not None:
            replaced.append(f"{typed} {given} instead of {value}")
        elif name in used:
            kept.append(f"{typed} {value}")
    words = [", ".join(kept)] if kept else []
    words += [f"given: {', '.join(replaced)}"] if replaced else []
    return {"preset": f"{request.preset}: {'; '.join(words) or 'the usual defaults'}"}


def _padding(start: Start) -> dict[str, str]:
    """How texts of unequal length are batched, where padding changes the features."""
    if not start.backbone.unpadded:
        return {}
    return {"padding": "none, it would change the features: a batch holds texts of one length"}


def _ignored(splits: Splits) -> dict[str, str]:
    if not splits.others:
        return {}
    more = ", …" if len(splits.others) > 1 else ""
    files = "file" if len(splits.others) == 1 else "files"
    return {
        "ignored": f"{len(splits.others)} {files} without an image extension "
        f"({splits.others[0]}{more})"
    }


def _leakage(splits: Splits) -> dict[str, str]:
    words = leakage_in_words(splits)
    return {"leakage": words} if words else {}


def leakage_in_words(splits: Splits) -> str:
    """Training samples that are also in validation or test; empty where there are none."""
    noun, nouns = splits.kind.noun, splits.kind.nouns
    near, groups = splits.near or (), splits.shared_groups
    facts = [
        f"{len(found):,} {one if len(found) == 1 else several} ({example})"
        for found, one, several, example in (
            (
                splits.shared,
                "validation or test sample is also in the training split",
                "validation or test samples are also in the training split",
                _examples(splits.shared),
            ),
            (
                near,
                f"is a near-duplicate of a training {noun}",
                f"are near-duplicates of training {nouns}",
                _examples(near),
            ),
            (
                groups,
                "group is in training and in validation or test",
                "groups are in training and in validation or test",
                f"{', '.join(groups[:3])}{', …' if len(groups) > 3 else ''}",
            ),
        )
        if found
    ]
    if splits.near is None:
        facts.append(f"too many {nouns} to search for near-duplicates")
    found = ", ".join(facts)
    if splits.removed:
        return f"{found}; {splits.removed:,} removed from training"
    if splits.shared or near or groups:
        return f"{found}; metrics will look too good: use --dedupe to train without them"
    return found


def _examples(pairs: Sequence[LeakedPair]) -> str:
    """The first pair, or the first with different labels, and how many have such."""
    if not pairs:
        return ""
    differing = [pair for pair in pairs if pair.same_label is False]
    first = (differing or pairs)[0]
    more = ", …" if len(pairs) > 1 else ""
    text = f"{first.held_out} = {first.train}{more}"
    if not differing:
        return text
    return f"{text}; {len(differing):,} with another label there"


def _solver_change(plan: Plan) -> dict[str, str]:
    """Which options have the head trained by AdamW, where L-BFGS is the default."""
    request, recipe, phases, default = plan.request, plan.recipe, plan.phases, plan.start.default
    heads = [phase for phase in phases if not phase.trains_backbone]
    wanted = recipe.steps_for(request.overrides)
    if not heads or not wanted or default.head_solver == recipe.head_solver:
        return {}
    options = ", ".join(rows(Recipe)[name].typed for name in wanted)
    return {
        "head solver": f"AdamW, because of {options}; without it, L-BFGS fits the head to "
        "convergence, which is faster and usually better"
    }


def _what_trains(phase: Phase, facts: PhaseFacts) -> str:
    solver = "DP-SGD, " if phase.private else ""
    schedule = solver + (
        f"L-BFGS, {phase.epochs} regularisation strengths"
        if phase.solved
        else f"{counted(phase.epochs, 'epoch')}, {_rates(phase, facts)}"
    )
    return f"trains {facts.trained:,} of {facts.total:,} parameters ({_what(phase, facts)}), {schedule}"


def _what(phase: Phase, facts: PhaseFacts) -> str:
    if not phase.trains_backbone:
        return "the head, on cached features"
    text = f"{facts.adapters or 'backbone'} and head"
    if phase.gradual:
        text += " at first, then one more stage at a time"
    return f"{text}, after {phase.freeze_until}" if phase.freeze_until else text


def _rates(phase: Phase, facts: PhaseFacts) -> str:
    falling = f", down to {facts.least_lr:.2g}" if facts.least_lr < phase.lr else ""
    return f"learning rate {phase.lr:g}{falling}"
