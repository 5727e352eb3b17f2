"""Which hyperparameters each phase uses.

The check for options without effect, the header, ``run.json`` and the report are all based on this,
so that they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zoo.engine.hyperparameters import Hyperparameter, Use, rows
from zoo.engine.recipe import Recipe
from zoo.engine.strategies import MakePhases, Phase
from zoo.errors import UsageError


@dataclass(frozen=True)
class _Usage:
    """When a phase uses some hyperparameters, what for, and which option would make it use them."""

    by: Callable[[Phase, Recipe], bool]
    purpose: str
    instead: str = "--strategy two-stage or full"


def _augments(phase: Phase, recipe: Recipe) -> bool:
    return phase.trains_backbone or recipe.cached_views > 0


def _caches(phase: Phase, recipe: Recipe) -> bool:
    """Cached views need a frozen backbone or frozen first layers; see ``prefixed``."""
    frozen = phase.freeze_until or recipe.freeze or phase.parameters != "all"
    mixed = recipe.mixup or recipe.cutmix
    return not phase.trains_backbone or bool(
        frozen and not mixed and not phase.gradual and phase.epochs > 1
    )


_BACKBONE = "for phases that train the backbone"
_STEPS = "for training in steps, and L-BFGS fits the head"
_USES: Mapping[Use, _Usage] = {
    "all": _Usage(lambda _phase, _recipe: True, ""),
    "strategy": _Usage(lambda _phase, _recipe: False, "not used by it"),
    "backbone": _Usage(lambda phase, _: phase.trains_backbone, _BACKBONE),
    "lower stages": _Usage(
        lambda phase, recipe: phase.trains_backbone and phase.freeze_until == recipe.freeze_until,
        _BACKBONE,
    ),
    "layer decay": _Usage(
        lambda phase, recipe: phase.trains_backbone and phase.layer_decay == recipe.layer_decay,
        "for phases that train all of the backbone's parameters",
    ),
    "adapter rank": _Usage(
        lambda phase, _: phase.kind is not None and phase.kind.rank,
        "for LoRA and the adapters like it",
        "--strategy lora",
    ),
    "adapter dropout": _Usage(
        lambda phase, _: phase.kind is not None and phase.kind.dropout,
        "for LoRA and DoRA",
        "--strategy lora",
    ),
    "steps": _Usage(
        lambda phase, _: not (phase.solved or phase.private), _STEPS, "--head-solver adamw"
    ),
    "all steps": _Usage(lambda phase, _: not phase.solved, _STEPS, "--head-solver adamw"),
    "private": _Usage(lambda phase, _: phase.private, "for differential privacy", "--private 4"),
    "head": _Usage(
        lambda phase, _: not (phase.trains_backbone or phase.private),
        "for head-only training",
        "--strategy probe",
    ),
    "head steps": _Usage(
        lambda phase, _: not phase.trains_backbone and not phase.solved,
        "for head-only training in steps",
    ),
    "augmentation": _Usage(_augments, f"{_BACKBONE}, or with --cached-views"),
    "cached views": _Usage(
        _caches, "for head-only training, or with --freeze-until over several epochs"
    ),
}


def used_by(phase: Phase, recipe: Recipe) -> dict[str, Any]:
    """The hyperparameters that ``phase`` uses, with their values."""
    return {
        name: getattr(recipe, name)
        for name, row in rows(Recipe).items()
        if name != "strategy" and _USES[row.use].by(phase, recipe)
    }


def refuse_unused(
    given: Mapping[str, Any], recipe: Recipe, phases: Sequence[Phase], phases_of: MakePhases
) -> None:
    """Raise a :class:`UsageError` for a given option that no phase uses.

    Args:
        given: The given values, by the names of the recipe's fields.
        recipe: All hyperparameters.
        phases: Phases of the strategy.
        phases_of: Makes them from other hyperparameters.
    """
    table = rows(Recipe)
    for row, value in ((table[name], value) for name, value in given.items()):
        if row.is_set(value) and not _used(row, recipe, phases, phases_of):
            raise _unused(row, recipe, phases)


def _used(
    row: Hyperparameter, recipe: Recipe, phases: Sequence[Phase], phases_of: MakePhases
) -> bool:
    if row.use == "strategy":
        names = (row.name, row.head_field) if row.head_field else (row.name,)
        return _read_by(phases_of, recipe, names)
    return any(_USES[row.use].by(phase, recipe) for phase in phases) or _as_head(
        row, recipe, phases
    )


def _as_head(row: Hyperparameter, recipe: Recipe, phases: Sequence[Phase]) -> bool:
    """Whether it is used as the head's, such as the batch size with ``probe``."""
    if not row.head_field or getattr(recipe, row.name) != getattr(recipe, row.head_field):
        return False
    use = _USES[rows(Recipe)[row.head_field].use]
    return any(use.by(phase, recipe) for phase in phases)


def _read_by(phases_of: MakePhases, recipe: Recipe, names: Sequence[str]) -> bool:
    """Whether the phases depend on these fields, which also works for a plugin's strategy."""
    other = replace(recipe, **{name: 2 * getattr(recipe, name) for name in names})
    return _steps_of(phases_of(recipe)) != _steps_of(phases_of(other))


def _steps_of(phases: Sequence[Phase]) -> list[tuple[int, float]]:
    return [(phase.epochs, phase.lr) for phase in phases if not phase.solved]


def _unused(row: Hyperparameter, recipe: Recipe, phases: Sequence[Phase]) -> UsageError:
    use = row.use
    if use == "strategy" and any(phase.solved for phase in phases):
        use = "steps"
    if any(phase.private for phase in phases):
        return UsageError(
            f"{row.typed} has no effect with --private: DP-SGD trains the head",
            hint=f"Leave {row.typed} out.",
        )
    usage = _USES[use]
    return UsageError(
        f"{row.typed} has no effect with the strategy {recipe.strategy!r}: it is {usage.purpose}",
        hint=f"Remove {row.typed}, or try {usage.instead}.",
    )


# -- in words ----------------------------------------------------------------------------------


def in_words(recipe: Recipe, phases: Sequence[Phase]) -> str:
    """The strategy with the hyperparameters of all its phases, then those of single phases."""
    facts = {phase.name: _facts(phase, recipe) for phase in phases}
    every = [fact for fact in next(iter(facts.values())) if all(fact in f for f in facts.values())]
    parts = [", ".join([recipe.strategy, *every])]
    for name, of_phase in facts.items():
        if rest := [fact for fact in of_phase if fact not in every]:
            parts.append(f"{name} only: {', '.join(rest)}" if len(facts) > 1 else ", ".join(rest))
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
        facts.append(f"{decay} (replaced by L2-SP)" if replaced else decay)
    for name, row in rows(Recipe).items():
        if row.header and name in used and used[name] != row.default:
            value, words = used[name], name.replace("_", " ")
            shown = ", ".join(value) if isinstance(value, tuple) else value
            facts.append(words if value is True else f"{words} {shown}")
    return facts
