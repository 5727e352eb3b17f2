"""How a run was trained, in words: its strategy, and the settings that its phases used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from zoo.system.plurals import counted


def strategy_in_words(
    recipe: Mapping[str, Any],
    phases: Any,
    strengths: Sequence[float] = (),
    chosen: float | None = None,
) -> str:
    """The strategy, and the settings that its phases used.

    Args:
        recipe: The ``recipe`` of ``run.json``.
        phases: Its ``phases``.
        strengths: The strengths of regularisation that L-BFGS tried, if known.
        chosen: The one that it chose, if known.
    """
    strategy = str(recipe.get("strategy", ""))
    if not isinstance(phases, list):
        return strategy
    words = [_phase(phase, strengths, chosen) for phase in phases]
    if [phase["name"] for phase in phases] == [strategy]:
        return words[0]
    return "; ".join([strategy, *words])


def _phase(phase: Mapping[str, Any], strengths: Sequence[float], chosen: float | None) -> str:
    if "epochs" not in phase:
        return f"{phase['name']}: head fitted by L-BFGS{_strengths(strengths, chosen)}"
    used = phase["settings"]
    size = used.get("batch_size", used.get("probe_batch_size"))
    batches = f", batches of {size:g}" if isinstance(size, int) else ""
    epochs, rate = phase["epochs"], phase["lr"]
    trained = counted(epochs, "epoch") if isinstance(epochs, int) else f"{epochs} epochs"
    lr = f"{rate:g}" if isinstance(rate, (int, float)) else str(rate)  # a record may hold anything
    return f"{phase['name']}: {trained}, learning rate {lr}{batches}"


def _strengths(strengths: Sequence[float], chosen: float | None) -> str:
    tried = f"{len(strengths)} strengths of L2 regularisation, " if strengths else ""
    limits = f"{max(strengths):g} to {min(strengths):g}" if strengths else ""
    if chosen is None:
        return f", {tried}{limits}" if strengths else ""
    return f", {tried}{limits}; chosen: {chosen:g}" if strengths else f", strength {chosen:g}"


def strengths_of(
    history: Sequence[Mapping[str, Any]],
) -> tuple[tuple[float, ...], float | None]:
    """The strengths of regularisation tried, and the last that was the best so far."""
    solved = [line for line in history if isinstance(line.get("strength"), (int, float))]
    best = [float(line["strength"]) for line in solved if line.get("best")]
    return tuple(float(line["strength"]) for line in solved), best[-1] if best else None


def without_folders(source: str) -> str:
    """The last part of an absolute path, which is of somebody's own disk; other texts as they are."""
    for kind in (PurePosixPath, PureWindowsPath):
        if (path := kind(source)).is_absolute() and path.name:
            return path.name
    return source
