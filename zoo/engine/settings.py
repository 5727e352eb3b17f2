"""Which settings of a recipe each phase uses.

The table below is what the refusal of options without effect, the header, ``run.json`` and the
report are made from, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from zoo.engine.recipe import Recipe
from zoo.engine.strategies import Phase, Strategy
from zoo.errors import UsageError

Uses = Callable[[Phase, Recipe], bool]


@dataclass(frozen=True)
class _Row:
    """When a phase uses some settings, and what they are for, as the end of a sentence."""

    uses: Uses
    purpose: str


def _trains_backbone(phase: Phase, _: Recipe) -> bool:
    return phase.trains_backbone


def _takes_steps(phase: Phase, _: Recipe) -> bool:
    return not phase.solved


def _augments(phase: Phase, recipe: Recipe) -> bool:
    return phase.trains_backbone or recipe.cached_views > 0


def _caches(phase: Phase, recipe: Recipe) -> bool:
    """Cached views are of a frozen backbone, or of its frozen beginning; see ``prefixed``."""
    frozen = phase.freeze_until or recipe.freeze or phase.parameters != "all"
    mixed = recipe.mixup or recipe.cutmix
    return not phase.trains_backbone or bool(
        frozen and not mixed and not phase.gradual and phase.epochs > 1
    )


_BACKBONE = _Row(_trains_backbone, "for phases that train the backbone")
_STEPS = _Row(_takes_steps, "for training in steps, and here L-BFGS solves for the head")
_LORA = _Row(lambda phase, _: phase.trains_backbone and phase.parameters == "lora", "for LoRA")

USES: Mapping[str, _Row] = {
    **dict.fromkeys(
        ("batch_size", "fit_memory", "accumulate", "balanced", "mixup", "cutmix", "l2sp", "ema"),
        _BACKBONE,
    ),
    **dict.fromkeys(("freeze", "unfreeze"), _BACKBONE),
    "freeze_until": _Row(
        lambda phase, recipe: phase.trains_backbone and phase.freeze_until == recipe.freeze_until,
        _BACKBONE.purpose,
    ),
    "layer_decay": _Row(
        lambda phase, recipe: phase.trains_backbone and phase.layer_decay == recipe.layer_decay,
        "for phases that train all of the backbone's parameters",
    ),
    **dict.fromkeys(("lora_rank", "lora_alpha", "lora_dropout"), _LORA),
    **dict.fromkeys(
        (
            "schedule",
            "warmup",
            "max_grad_norm",
            "patience",
            "weight_decay",
            "dropout",
            "base_width",
        ),
        _STEPS,
    ),
    "probe_batch_size": _Row(
        lambda phase, _: not phase.trains_backbone and not phase.solved,
        "for a head that trains alone, in steps",
    ),
    "head_solver": _Row(lambda phase, _: not phase.trains_backbone, "for a head that trains alone"),
    "augment": _Row(_augments, f"{_BACKBONE.purpose}, or with --cached-views"),
    "cached_views": _Row(
        _caches, "for a head that trains alone, or with --freeze-until over several epochs"
    ),
}
"""Settings by what uses them; what is not named here (the loss, the metric, the seed) all phases use.

``epochs``, ``lr`` and their like for the head are the strategy's to read: :func:`_read_by`.
"""

_OF_STRATEGY: Mapping[str, tuple[str, ...]] = {
    "epochs": ("epochs", "probe_epochs"),
    "lr": ("lr", "probe_lr"),
    "probe_epochs": ("probe_epochs",),
    "probe_lr": ("probe_lr",),
}


def used_by(phase: Phase, recipe: Recipe) -> dict[str, Any]:
    """The settings that decide what ``phase`` does, with their values."""
    own = {"strategy", *_OF_STRATEGY}
    names = [field.name for field in fields(recipe) if field.name not in own]
    return {
        name: getattr(recipe, name)
        for name in names
        if name not in USES or USES[name].uses(phase, recipe)
    }


def refuse_unused(
    given: Mapping[str, Any], recipe: Recipe, phases: Sequence[Phase], strategy: Strategy
) -> None:
    """Raise a :class:`UsageError` for a setting that was asked for and that no phase uses.

    Args:
        given: What was asked for, by the names of the recipe's fields.
        recipe: What came of it.
        phases: Those of the strategy.
        strategy: Made them.
    """
    for name, value in given.items():
        if not _asks(name, value):
            continue
        fields_of = _OF_STRATEGY.get(name)
        if fields_of:
            used = _read_by(strategy, recipe, fields_of)
            purpose = _STEPS.purpose if any(phase.solved for phase in phases) else "not read by it"
        elif name in USES:
            used = any(USES[name].uses(phase, recipe) for phase in phases) or _as_head(
                name, recipe, phases
            )
            purpose = USES[name].purpose
        else:
            continue
        if not used:
            raise _unused(name, purpose, recipe, phases)


def _asks(name: str, value: Any) -> bool:
    """Whether a value asks for something; to ask for nothing of what is not done is harmless."""
    usual = Recipe.__dataclass_fields__[name].default
    return not (value in (None, False, 0, "none", ()) and value == usual)


def _as_head(name: str, recipe: Recipe, phases: Sequence[Phase]) -> bool:
    """Under ``probe`` the batch size is the head's."""
    return (
        name == "batch_size"
        and recipe.probe_batch_size == recipe.batch_size
        and any(USES["probe_batch_size"].uses(phase, recipe) for phase in phases)
    )


def _read_by(strategy: Strategy, recipe: Recipe, names: Sequence[str]) -> bool:
    """Whether the phases are others where these settings are: a plugin's strategy is asked too."""
    other = replace(recipe, **{name: 2 * getattr(recipe, name) for name in names})
    return _steps_of(strategy(recipe)) != _steps_of(strategy(other))


def _steps_of(phases: Sequence[Phase]) -> list[tuple[int, float]]:
    return [(phase.epochs, phase.lr) for phase in phases if not phase.solved]


def _unused(name: str, purpose: str, recipe: Recipe, phases: Sequence[Phase]) -> UsageError:
    option = flag(name)
    solved = any(phase.solved for phase in phases)
    if purpose is _STEPS.purpose and solved:
        other = "--head-solver adamw"
    elif name == "head_solver":
        other = "--strategy probe"
    else:
        other = "--strategy lora" if purpose is _LORA.purpose else "--strategy two-stage or full"
    return UsageError(
        f"{option} has no effect with the strategy {recipe.strategy!r}: it is {purpose}",
        hint=f"Leave {option} out, or try {other}.",
    )


def flag(name: str) -> str:
    """The option of a setting, as it is typed."""
    return f"--{_SHORT.get(name, name).replace('_', '-')}"


_SHORT = {"max_grad_norm": "clip", "fit_memory": "batch-size auto"}

# -- in words ----------------------------------------------------------------------------------

_SHOWN = (
    *(
        "accumulate",
        "freeze",
        "unfreeze",
        "dropout",
        "label_smoothing",
        "class_weights",
        "balanced",
    ),
    *("focal", "mixup", "cutmix", "augment", "l2sp", "ema", "patience", "schedule", "cached_views"),
)
"""Settings that the header names where they are not the default."""


def in_words(recipe: Recipe, phases: Sequence[Phase]) -> str:
    """The strategy with the settings that all its phases use, then those of single phases."""
    facts = {phase.name: _facts(phase, recipe) for phase in phases}
    every = [fact for fact in next(iter(facts.values())) if all(fact in f for f in facts.values())]
    parts = [", ".join([recipe.strategy, *every])]
    for name, own in facts.items():
        if rest := [fact for fact in own if fact not in every]:
            parts.append(f"{name} alone: {', '.join(rest)}" if len(facts) > 1 else ", ".join(rest))
    return "; ".join(parts)


def _facts(phase: Phase, recipe: Recipe) -> list[str]:
    used = used_by(phase, recipe)
    facts = []
    for name in ("batch_size", "probe_batch_size"):
        if name in used:
            facts.append(f"batches of {used[name]}")
    if "weight_decay" in used:
        decay = f"weight decay {recipe.weight_decay:g}"
        replaced = "l2sp" in used and recipe.l2sp and not recipe.weight_decay
        facts.append(f"{decay} (L2-SP takes its place)" if replaced else decay)
    for name in _SHOWN:
        if name in used and used[name] != Recipe.__dataclass_fields__[name].default:
            value, words = used[name], name.replace("_", " ")
            shown = ", ".join(value) if isinstance(value, tuple) else value
            facts.append(words if value is True else f"{words} {shown}")
    return facts
