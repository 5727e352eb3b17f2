"""How figures are read: their names, which comes first, and what they take for a yes."""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "map": "mAP",
    "rmse": "RMSE",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "mae": "MAE",
    "r2": "R²",
    "loss": "loss",
}
"""Figures by their keys in ``run.json``, the ones that a run is judged by first."""

THRESHOLD = 0.5
"""The probability from which on a sample is said to have a class, where it may have several."""


def leading(figures: Mapping[str, object], metric: str = "") -> str:
    """The key of the metric that a run is judged by.

    Args:
        figures: Metrics by their keys.
        metric: What chose the best epoch, if that is known; a loss says little to people, and
            gives way to what the others have.

    Raises:
        KeyError: There is none.
    """
    if metric in figures and metric != "loss":
        return metric
    for key in NAMES:
        if key in figures:
            return key
    raise KeyError(next(iter(NAMES)))


def in_words(figures: Mapping[str, float]) -> str:
    """``accuracy 0.9722, macro F1 0.9721, loss 0.1437``"""
    return ", ".join(f"{NAMES.get(key, key)} {value:.4f}" for key, value in figures.items())
