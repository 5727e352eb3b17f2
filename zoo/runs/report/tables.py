"""The tables and charts of the report, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.runs.report import charts
from zoo.runs.report.numbers import as_float
from zoo.runs.report.subject import Subject
from zoo.tasks.evaluation import Evaluation
from zoo.tasks.metrics import Selection, main_metric, title_of

_MATRIX = 20  # classes up to which the confusion matrix is shown whole
_ROWS = 200  # classes of the table, the weakest of more
_PAIRS = 12  # confusions in the list


def leading_key(history: Sequence[Mapping[str, Any]]) -> str:
    """The key of the metric that selected the best epoch; empty if there is none."""
    try:
        return main_metric(history[0], str(history[0].get("metric", ""))) if history else ""
    except KeyError:
        return ""


def learning_curves(
    history: Sequence[Mapping[str, Any]], best: Any, chosen: Selection | None = None
) -> list[tuple[str, charts.Curves]]:
    """Charts over the epochs, each with a title.

    Regularisation strengths tried by L-BFGS are not epochs and are left out.
    """
    best = best if isinstance(best, int) else None
    solved = sum("strength" in line for line in history)
    key = leading_key(history)
    if solved:
        best = best - solved if best is not None and best > solved else None
        history = [line for line in history if "strength" not in line]
    phases = [str(line["phase"]) for line in history]
    losses = {
        "training": [as_float(line.get("train_loss")) for line in history],
        "validation": [as_float(line.get("loss")) for line in history],
    }
    drawn = [("Loss", charts.curves(losses, phases, best))]
    if key and key != "loss":
        values = {"validation": [as_float(line.get(key)) for line in history]}
        name = title_of(key, chosen)
        title = name if name[1].isupper() else name[0].upper() + name[1:]  # mAP stays mAP
        drawn.append((title, charts.curves(values, phases, best)))
    return [(title, chart) for title, chart in drawn if chart is not None]


def class_table(evaluation: Evaluation) -> dict[str, Any]:
    """The table of classes, the weakest first, or of regression targets, in their order."""
    rows = list(evaluation.per_class.items())
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    weakest_first = "f1" in columns
    if weakest_first:
        rows = sorted(rows, key=lambda item: (item[1]["support"] == 0, item[1]["f1"]))
    more = max(0, len(rows) - _ROWS)
    return {
        "columns": columns,
        "rows": rows[:_ROWS],
        "more": more,
        "weakest_first": weakest_first,
    }


def confusion(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, Any] | None:
    """The confusion matrix with a shade for each cell, and the most frequent confusions."""
    if evaluation.confusion is None:
        return None
    counts = np.array(evaluation.confusion)  # (classes, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.ceil(shares * 8).astype(int)  # 0 to 8
    off = counts.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:_PAIRS]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, off.shape), strict=True)]
    return {
        "whole": len(classes) <= _MATRIX,
        "classes": classes,
        "counts": counts.tolist(),
        "shades": shades.tolist(),
        "pairs": [
            (classes[i], classes[j], int(off[i, j]), float(shares[i, j]))
            for i, j in pairs
            if off[i, j]
        ],
    }


def scatters(subject: Subject) -> list[charts.Scatter]:
    if subject.task.has_classes:
        return []
    truth, predicted = subject.evaluated.labels.astype(np.float64), subject.evaluated.outputs
    drawn = [
        charts.scatter(name, truth[:, i], predicted[:, i])
        for i, name in enumerate(subject.classes[:6])
    ]
    return [chart for chart in drawn if chart is not None]


def fold_table(folds: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The metrics of each fold, their means and standard deviations; ``None`` without folds."""
    if not folds:
        return None
    keys = [folds["metric"], *(key for key in folds["mean"] if key != folds["metric"])]
    rows = [
        {
            **{name: each.get(name, 0) for name in ("fold", "train", "val", "groups")},
            "metrics": [as_float(each["metrics"][key]) for key in keys],
        }
        for each in folds["each"]
    ]
    return {
        "columns": keys,
        "rows": rows,
        "groups": any(row["groups"] for row in rows),
        "summary": [(as_float(folds["mean"][key]), as_float(folds["std"][key])) for key in keys],
    }
